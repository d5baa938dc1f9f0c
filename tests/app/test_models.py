from diffsight.app.models import Models


def test_a_network_is_loaded_once_for_all_that_is_read_off_it():
    models = Models(["pocket", "pocket+"])
    plain, best = models.matcher(), models.matcher("pocket", "best")
    assert best.reader is plain.reader
    assert (plain.how.peak, plain.how.shape) == ("pixel", 0)
    assert (best.how.peak, best.how.shape) == ("window", 4)
    assert models.matcher("pocket", "best") is best
    assert models.matcher("pocket+", "best").reader is models.matcher("pocket+").reader
    assert models.backbone("pocket+") is models.backbone("pocket")


def test_long_work_is_done_in_turns():
    models = Models(["pocket"])

    def work():
        for number in range(3):
            yield number, models.lock.locked()

    for number, (told, locked) in enumerate(models.in_turns(work())):
        assert (told, locked) == (number, True)
        assert not models.lock.locked()
    assert not models.lock.locked()

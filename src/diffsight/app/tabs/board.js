// Points of the photo are buttons: drag one, or focus it and press arrow keys; a click beside them says where.
const photo = () => element.querySelector(".photo");
const within = (share) => Math.min(1, Math.max(0, share));
let held = null, grip = null, moved = false, waiting = null;

function put(spot, x, y) {
  spot.style.left = `${100 * x}%`;
  spot.style.top = `${100 * y}%`;
}

function share(event) {
  const box = photo().getBoundingClientRect();
  return [(event.clientX - box.x) / box.width, (event.clientY - box.y) / box.height];
}

element.addEventListener("pointerdown", (event) => {
  held = event.button === 0 ? event.target.closest(".spot") : null;
  if (!held) return;
  const [x, y] = share(event);
  grip = [parseFloat(held.style.left) / 100 - x, parseFloat(held.style.top) / 100 - y];
  moved = false;
  held.setPointerCapture(event.pointerId);
  held.classList.add("held");
});

element.addEventListener("pointermove", (event) => {
  if (!held) return;
  const [x, y] = share(event);
  moved = true;
  put(held, x + grip[0], y + grip[1]);
});

element.addEventListener("pointerup", (event) => {
  if (!held) return;
  const spot = held, [x, y] = share(event).map((side, i) => side + grip[i]);
  held = null;
  spot.classList.remove("held");
  if (!moved) return;
  if (x === within(x) && y === within(y)) trigger("shift", { point: +spot.dataset.point, x, y });
  else trigger("take_off", { point: +spot.dataset.point });
});

element.addEventListener("click", (event) => {
  if (!event.target.closest(".photo") || event.target.closest(".spot")) return;
  const [x, y] = share(event);
  trigger("place", { x: within(x), y: within(y) });
});

element.addEventListener("keydown", (event) => {
  const spot = event.target.closest(".spot"), far = event.shiftKey ? 10 : 1;
  const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (spot && way) {
    const image = photo().querySelector("img");
    const x = within(parseFloat(spot.style.left) / 100 + (way[0] * far) / image.naturalWidth);
    const y = within(parseFloat(spot.style.top) / 100 + (way[1] * far) / image.naturalHeight);
    put(spot, x, y);
    clearTimeout(waiting); // one correction for many presses
    waiting = setTimeout(() => trigger("shift", { point: +spot.dataset.point, x, y }), 250);
  } else if (spot && ["Delete", "Backspace"].includes(event.key)) trigger("take_off", { point: +spot.dataset.point });
  else if (event.target === photo() && way && way[0]) trigger("turn", { by: way[0] });
  else if (event.target === photo() && event.key === "Enter") trigger("place", { x: 0.5, y: 0.5 });
  else return;
  event.preventDefault();
});

"""The web page for a host of Gradio apps: put this folder there. On your own machine run ``diffsight app`` instead."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "src"))

from diffsight.cli import run

if __name__ == "__main__":
    sys.exit(run(["app", "--host", "0.0.0.0", "--port", os.environ.get("PORT", "7860")]))

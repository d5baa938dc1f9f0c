// A click in the first photo, or Enter at its cross, is told as "mark" with its place from 0 to 1.
// Files that are dropped on a photo go to the upload button that its figure names.
const cross = {x: 0.5, y: 0.5};
const steps = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
const clip = (value) => Math.min(1, Math.max(0, value));

element.addEventListener("click", (event) => {
  const photo = event.target.closest(".clicked");
  if (!photo) return;
  const box = photo.getBoundingClientRect();
  trigger("mark", {x: clip((event.clientX - box.left) / box.width), y: clip((event.clientY - box.top) / box.height)});
});

element.addEventListener("keydown", (event) => {
  if (!event.target.closest(".clicked")) return;
  if (event.key in steps) {
    const far = event.shiftKey ? 0.05 : 0.01;
    cross.x = clip(cross.x + far * steps[event.key][0]);
    cross.y = clip(cross.y + far * steps[event.key][1]);
    element.style.setProperty("--cross-x", 100 * cross.x + "%");
    element.style.setProperty("--cross-y", 100 * cross.y + "%");
  } else if (event.key === "Enter" || event.key === " ") {
    trigger("mark", {x: cross.x, y: cross.y});
  } else {
    return;
  }
  event.preventDefault();
});

element.addEventListener("dragover", (event) => {
  if (event.target.closest("[data-upload]")) event.preventDefault();
});

element.addEventListener("drop", (event) => {
  const figure = event.target.closest("[data-upload]");
  if (!figure || !event.dataTransfer.files.length) return;
  event.preventDefault();
  const field = document.getElementById(figure.dataset.upload).previousElementSibling;
  field.files = event.dataTransfer.files;
  field.dispatchEvent(new Event("change", {bubbles: true}));
});

// The parts of a photo: say what is pointed at, keep what is clicked, and tell the server where the model should look.
const all = () => [...element.querySelectorAll("path")];
const chosen = () => element.querySelector("path[aria-pressed=true]");
const looking = part => part.closest("svg").dataset.clicks === "look";

function say(part) {
  const line = element.querySelector(".line");
  line.textContent = part && !looking(part) ? part.getAttribute("aria-label") : line.dataset.hint;
}

function choose(part) {
  const before = chosen();
  before?.setAttribute("aria-pressed", "false");
  if (part !== before) part?.setAttribute("aria-pressed", "true");
  say(chosen());
}

function focus(part) {
  for (const other of all()) other.setAttribute("tabindex", other === part ? "0" : "-1");
  part.focus();
}

element.addEventListener("pointerover", event => say(event.target.closest("path") ?? chosen()));
element.addEventListener("pointerleave", () => say(chosen()));
element.addEventListener("focusin", event => say(event.target.closest("path")));
element.addEventListener("focusout", () => say(chosen()));

element.addEventListener("click", event => {
  const svg = event.target.closest("svg");
  if (!svg) return;
  if (svg.dataset.clicks !== "look") return choose(event.target.closest("path"));
  const box = svg.getBoundingClientRect();
  trigger("look", {x: (event.clientX - box.x) / box.width, y: (event.clientY - box.y) / box.height});
});

element.addEventListener("keydown", event => {
  const part = event.target.closest("path");
  if (!part) return;
  const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
  if (step) focus(all().at((all().indexOf(part) + step) % all().length));
  else if (event.key === "Escape") choose(null);
  else if (event.key !== "Enter" && event.key !== " ") return;
  else if (looking(part)) trigger("look", {x: Number(part.dataset.x), y: Number(part.dataset.y)});
  else choose(part);
  event.preventDefault();
});

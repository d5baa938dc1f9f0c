// Turns drags, clicks and keys over the first frame into a path: a list of [x, y], each from 0 to 1 across the frame.
// A drag makes a box or a stroke; so do two clicks, or two presses of Enter with arrow keys between them.
const KEYS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
const NEAR = 0.01;
let path = null, cross = [0.5, 0.5], keyed = false;

const sheet = () => element.querySelector(".sheet");
const limit = value => Math.min(1, Math.max(0, value));
const single = () => props.value.tool === "Points";
const boxing = () => props.value.tool === "Box";
const place = event => {
  const frame = sheet().getBoundingClientRect();
  return [limit((event.clientX - frame.left) / frame.width), limit((event.clientY - frame.top) / frame.height)];
};

const draw = () => {
  const {width, height, brush} = props.value, inFrame = ([x, y]) => [x * width, y * height];
  const [[x0, y0], [x1, y1]] = path ? [inFrame(path[0]), inFrame(path.at(-1))] : [[0, 0], [0, 0]];
  const line = path ? "M" + path.map(inFrame).join("L") + "z".repeat(path.length === 1) : "";
  const shape = path && boxing() ? `M${x0},${y0}H${x1}V${y1}H${x0}z` : line;
  const stroke = element.querySelector(".path"), aim = element.querySelector(".aim"), [x, y] = inFrame(cross);
  stroke.setAttribute("d", shape);
  stroke.setAttribute("stroke-width", boxing() ? width / 250 : (brush / 100) * Math.min(width, height));
  aim.setAttribute("d", keyed ? `M${x},0V${height}M0,${y}H${width}` : "");
};

const extend = point => { path = boxing() ? [path[0], point] : [...path, point]; };
const finish = () => { trigger("mark", {path}); path = null; };
const begin = point => { path = [point]; if (single()) finish(); };

element.addEventListener("pointerdown", event => {
  if (!event.target.closest(".sheet") || event.button || props.value.busy) return;
  event.preventDefault();
  sheet().focus({preventScroll: true});
  sheet().setPointerCapture(event.pointerId);
  keyed = false;
  path ? extend(place(event)) : begin(place(event));
  draw();
});
element.addEventListener("pointermove", event => { if (path && !keyed) { extend(place(event)); draw(); } });
element.addEventListener("pointerup", event => {
  if (!path || keyed) return;
  const [x, y] = place(event), far = Math.hypot(x - path[0][0], y - path[0][1]) > NEAR;
  if (!boxing() || far) finish();
  draw();
});
element.addEventListener("keydown", event => {
  if (!event.target.closest(".sheet") || props.value.busy) return;
  const step = KEYS[event.key], done = event.key === "Enter" || event.key === " ";
  if (!step && !done && event.key !== "Escape") return;
  event.preventDefault();
  keyed = true;
  if (step) cross = cross.map((value, axis) => limit(value + step[axis] * (event.shiftKey ? 0.1 : 0.02)));
  if (step && path) extend(cross);
  if (done) path ? finish() : begin(cross);
  if (event.key === "Escape") path = null;
  draw();
});
element.addEventListener("focusout", () => { keyed = false; draw(); });
watch("value", draw);

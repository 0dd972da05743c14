// Paints the panels of a frame: raw RGB bytes, enlarged to the device's own pixels. No network, no libraries.

const SMOOTHING = "high";

/** An off-screen canvas that holds the RGB bytes of a panel at their own size. */
function source(panel) {
  const { width, height, pixels } = panel;
  const rgb = new Uint8Array(pixels.buffer, pixels.byteOffset, pixels.byteLength);
  const image = new ImageData(width, height);
  const rgba = new Uint32Array(image.data.buffer);
  for (let i = 0, j = 0; i < rgba.length; i++, j += 3) {
    rgba[i] = 0xff000000 | (rgb[j + 2] << 16) | (rgb[j + 1] << 8) | rgb[j];
  }
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

/** Enlarge by a whole factor without blending, so that every pixel stays a clean square. */
function squares(canvas, factor) {
  const large = new OffscreenCanvas(canvas.width * factor, canvas.height * factor);
  const context = large.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(canvas, 0, 0, large.width, large.height);
  return large;
}

/** Where the next keyboard stroke falls: a ring in black and white, seen on any picture. */
function ring(canvas, [x, y]) {
  const context = canvas.getContext("2d");
  for (const [color, width] of [["#000", 4], ["#fff", 2]]) {
    context.strokeStyle = color;
    context.lineWidth = width;
    context.beginPath();
    context.arc(x * canvas.width, y * canvas.height, canvas.width / 40, 0, 2 * Math.PI);
    context.stroke();
  }
}

function paint(canvas, panel, cursor) {
  const box = canvas.getBoundingClientRect();
  const width = Math.round(box.width * window.devicePixelRatio);
  const height = Math.round(width * panel.height / panel.width);
  if (width === 0) return;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const factor = Math.ceil(width / panel.width);
  const picture = factor < 2 ? source(panel) : squares(source(panel), factor);
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = SMOOTHING;
  context.drawImage(picture, 0, 0, width, height);
  if (panel.paint && document.activeElement === canvas && canvas.matches(":focus-visible")) ring(canvas, cursor);
}

const clamp = (value) => Math.min(1, Math.max(0, value));
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Painting on a canvas. `begin` starts a stroke, `extend` adds a point to it, `moved` follows the cursor. */
function connect(parts, { begin, extend, moved }) {
  const { canvas, cursor } = parts;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [clamp((event.clientX - box.left) / box.width), clamp((event.clientY - box.top) / box.height)];
  };
  const paints = () => canvas.classList.contains("lefs-paint");
  canvas.addEventListener("pointerdown", (event) => {
    if (!paints() || event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    begin(place(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    if (paints() && event.buttons & 1 && canvas.hasPointerCapture(event.pointerId)) extend(place(event));
  });
  canvas.addEventListener("keydown", (event) => {
    if (!paints()) return;
    const arrow = ARROWS[event.key];
    if (arrow) arrow.forEach((step, axis) => (cursor[axis] = clamp(cursor[axis] + step / 32)));
    else if (event.key === " ") begin([...cursor]);
    else return;
    // The notebook would scroll, or leave the cell.
    event.preventDefault();
    event.stopPropagation();
    moved();
  });
  for (const name of ["focus", "blur"]) canvas.addEventListener(name, moved);
}

function element(tag, name, parent) {
  const made = document.createElement(tag);
  made.className = name;
  parent.appendChild(made);
  return made;
}

/** One figure of the grid: title, canvas, and a line below it. */
function cell(grid) {
  const figure = element("figure", "lefs-figure", grid);
  const title = element("figcaption", "lefs-title", figure);
  const frame = element("div", "lefs-frame", figure);
  const canvas = element("canvas", "lefs-picture", frame);
  canvas.setAttribute("role", "img");
  const word = element("span", "lefs-word", frame);
  const note = element("div", "lefs-note", figure);
  return { figure, title, canvas, word, note, cursor: [0.5, 0.5] };
}

function describe(parts, panel) {
  const { title, canvas, word, note } = parts;
  title.textContent = panel.title;
  word.textContent = panel.word;
  canvas.dataset.panel = panel.title;
  canvas.classList.toggle("lefs-paint", panel.paint);
  if (panel.paint) canvas.tabIndex = 0;
  else canvas.removeAttribute("tabindex");
  canvas.style.aspectRatio = `${panel.width} / ${panel.height}`;
  canvas.setAttribute("aria-label", [panel.title, panel.note, panel.word].filter(Boolean).join(": "));
  note.replaceChildren();
  if (panel.scale) {
    const [low, high, colors] = panel.scale;
    element("span", "", note).textContent = low;
    element("span", "lefs-scale", note).style.background = `linear-gradient(to right, ${colors.join(", ")})`;
    element("span", "", note).textContent = high;
  } else {
    note.textContent = panel.note || "";
  }
}

function render({ model, el }) {
  const grid = element("div", "lefs-canvas", el);
  const cells = [];
  let pending = 0;

  // Each message holds the whole stroke so far: of several that wait, only the newest is sent.
  let stroke = { number: 0, panel: 0, points: [] };
  function send(next) {
    stroke = next;
    model.set("stroke", stroke);
    model.save_changes();
  }
  function paintable(parts, index) {
    connect(parts, {
      begin: (point) => send({ number: stroke.number + 1, panel: index, points: [point] }),
      extend: (point) => send({ ...stroke, points: [...stroke.points, point] }),
      moved: schedule,
    });
    return parts;
  }

  function draw() {
    pending = 0;
    const { panels } = model.get("frame");
    const columns = model.get("columns");
    const widest = `${model.get("widest")}px`;
    grid.style.gridTemplateColumns = `repeat(${columns}, minmax(0, ${widest}))`;
    while (cells.length < panels.length) cells.push(paintable(cell(grid), cells.length));
    while (cells.length > panels.length) cells.pop().figure.remove();
    panels.forEach((panel, i) => {
      describe(cells[i], panel);
      paint(cells[i].canvas, panel, cells[i].cursor);
    });
    grid.dataset.frame = model.get("frame").number;
  }

  // Several frames may arrive between two repaints of the screen: only the newest is worth painting.
  function schedule() {
    if (!pending) pending = requestAnimationFrame(draw);
  }

  const observer = new ResizeObserver(schedule);
  observer.observe(grid);
  model.on("change:frame", schedule);
  model.on("change:columns", schedule);
  draw();
  return () => {
    observer.disconnect();
    model.off("change:frame", schedule);
    model.off("change:columns", schedule);
    if (pending) cancelAnimationFrame(pending);
  };
}

export default { render };

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

/** Enlarge by a whole factor without blending, so that every value of a map stays a clean square. */
function squares(canvas, factor) {
  const large = new OffscreenCanvas(canvas.width * factor, canvas.height * factor);
  const context = large.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(canvas, 0, 0, large.width, large.height);
  return large;
}

function paint(canvas, panel) {
  const box = canvas.getBoundingClientRect();
  const width = Math.round(box.width * window.devicePixelRatio);
  const height = Math.round(width * panel.height / panel.width);
  if (width === 0) return;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const factor = Math.ceil(width / panel.width);
  const picture = panel.smooth || factor < 2 ? source(panel) : squares(source(panel), factor);
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = SMOOTHING;
  context.drawImage(picture, 0, 0, width, height);
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
  const canvas = element("canvas", "lefs-picture", figure);
  canvas.setAttribute("role", "img");
  const note = element("div", "lefs-note", figure);
  return { figure, title, canvas, note };
}

function describe(parts, panel) {
  const { title, canvas, note } = parts;
  title.textContent = panel.title;
  canvas.dataset.panel = panel.title;
  canvas.style.aspectRatio = `${panel.width} / ${panel.height}`;
  canvas.setAttribute("aria-label", [panel.title, panel.note].filter(Boolean).join(": "));
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

  function draw() {
    pending = 0;
    const { panels } = model.get("frame");
    const columns = model.get("columns");
    const widest = `${model.get("widest")}px`;
    grid.style.gridTemplateColumns = `repeat(${columns}, minmax(0, ${widest}))`;
    while (cells.length < panels.length) cells.push(cell(grid));
    while (cells.length > panels.length) cells.pop().figure.remove();
    panels.forEach((panel, i) => {
      describe(cells[i], panel);
      paint(cells[i].canvas, panel);
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

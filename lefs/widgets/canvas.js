// Paints the panels of a frame: raw RGB bytes, enlarged to the device's own pixels. No network, no libraries.

const SMOOTHING = "high";
const PRESS = 350; // milliseconds: a shorter press is a click

/** An off-screen canvas that holds RGB bytes at their own size. */
function source(width, height, pixels) {
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

/** The two pictures of a panel, ready to be drawn at this width; made anew only when the panel is another. */
function prepared(parts, panel, width) {
  const factor = Math.ceil(width / panel.width);
  if (parts.ready?.panel !== panel || parts.ready.factor !== factor) {
    const make = (pixels) => {
      const own = source(panel.width, panel.height, pixels);
      return factor < 2 ? own : squares(own, factor);
    };
    parts.ready = { panel, factor, picture: make(panel.pixels), before: panel.before && make(panel.before) };
  }
  return parts.ready;
}

/** In black and white, seen on any picture. */
function twice(context, trace) {
  for (const [color, width] of [["#000", 4], ["#fff", 2]]) {
    context.strokeStyle = color;
    context.lineWidth = width;
    context.beginPath();
    trace();
    context.stroke();
  }
}

/** Where the next keyboard stroke falls. */
function ring(canvas, [x, y]) {
  const context = canvas.getContext("2d");
  const radius = canvas.width / 40;
  twice(context, () => context.arc(x * canvas.width, y * canvas.height, radius, 0, 2 * Math.PI));
}

function regionAt(panel, [x, y]) {
  if (!panel.regions) return -1;
  const { rows, columns, of } = panel.regions;
  const row = Math.min(rows - 1, Math.floor(y * rows));
  const column = Math.min(columns - 1, Math.floor(x * columns));
  return of.getInt16(2 * (row * columns + column), true);
}

/** The border of one region. */
function outline(canvas, panel, region) {
  const { rows, columns, of } = panel.regions;
  const inside = (r, c) =>
    r >= 0 && c >= 0 && r < rows && c < columns && of.getInt16(2 * (r * columns + c), true) === region;
  const [dx, dy] = [canvas.width / columns, canvas.height / rows];
  const context = canvas.getContext("2d");
  twice(context, () => {
    const edge = (x0, y0, x1, y1) => {
      context.moveTo(x0 * dx, y0 * dy);
      context.lineTo(x1 * dx, y1 * dy);
    };
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) {
        if (!inside(r, c)) continue;
        if (!inside(r - 1, c)) edge(c, r, c + 1, r);
        if (!inside(r + 1, c)) edge(c, r + 1, c + 1, r + 1);
        if (!inside(r, c - 1)) edge(c, r, c, r + 1);
        if (!inside(r, c + 1)) edge(c + 1, r, c + 1, r + 1);
      }
    }
  });
}

/** What was before, left of the wipe or everywhere while the picture is pressed. */
function wipe(canvas, before, share) {
  const context = canvas.getContext("2d");
  const x = share * canvas.width;
  if (x <= 0) return;
  context.save();
  context.beginPath();
  context.rect(0, 0, x, canvas.height);
  context.clip();
  context.drawImage(before, 0, 0, canvas.width, canvas.height);
  context.restore();
  if (share < 1) {
    twice(context, () => {
      context.moveTo(x, 0);
      context.lineTo(x, canvas.height);
    });
  }
}

function paint(parts, panel) {
  const { canvas, cursor } = parts;
  const box = canvas.getBoundingClientRect();
  const width = Math.round(box.width * window.devicePixelRatio);
  const height = Math.round(width * panel.height / panel.width);
  if (width === 0) return;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const { picture, before } = prepared(parts, panel, width);
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = SMOOTHING;
  context.drawImage(picture, 0, 0, width, height);
  if (before) wipe(canvas, before, parts.pressed ? 1 : parts.wiped);
  const focused = document.activeElement === canvas && canvas.matches(":focus-visible");
  const keyed = focused && (panel.paint || panel.regions);
  const region = regionAt(panel, parts.hover ?? (keyed ? cursor : [-1, -1]));
  const seen = (parts.hover || keyed) && region >= 0 && panel.names[region];
  if (seen && !parts.pressed) outline(canvas, panel, region);
  parts.tip.textContent = seen || "";
  if (keyed) ring(canvas, cursor);
}

const clamp = (value) => Math.min(1, Math.max(0, value));
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function placed(canvas, event) {
  const box = canvas.getBoundingClientRect();
  return [clamp((event.clientX - box.left) / box.width), clamp((event.clientY - box.top) / box.height)];
}

/** Painting on a canvas. `begin` starts a stroke, `extend` adds a point to it, `moved` follows the cursor. */
function connect(parts, { begin, extend, moved }) {
  const { canvas, cursor } = parts;
  const place = (event) => placed(canvas, event);
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
    const moves = paints() || canvas.classList.contains("lefs-regions");
    const arrow = moves && ARROWS[event.key];
    if (arrow) arrow.forEach((step, axis) => (cursor[axis] = clamp(cursor[axis] + step / 32)));
    else if (paints() && event.key === " ") begin([...cursor]);
    else return;
    // The notebook would scroll, or leave the cell.
    event.preventDefault();
    event.stopPropagation();
    moved();
  });
  for (const name of ["focus", "blur"]) canvas.addEventListener(name, moved);
}

/** Choosing on a canvas: hover, click and Enter; to press shows what was before. */
function choose(parts, { pick, moved }) {
  const { canvas, cursor } = parts;
  const picks = () => canvas.classList.contains("lefs-pick");
  let since = 0;
  const press = (down) => {
    parts.pressed = down;
    moved();
  };
  canvas.addEventListener("pointermove", (event) => {
    parts.hover = placed(canvas, event);
    if (canvas.classList.contains("lefs-regions")) moved();
  });
  canvas.addEventListener("pointerleave", () => {
    parts.hover = null;
    press(false);
  });
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    since = event.timeStamp;
    if (canvas.classList.contains("lefs-before")) press(true);
  });
  canvas.addEventListener("pointerup", (event) => {
    press(false);
    if (picks() && event.button === 0 && event.timeStamp - since < PRESS) pick(placed(canvas, event), event.shiftKey);
  });
  canvas.addEventListener("keydown", (event) => {
    const original = event.key === " " && canvas.classList.contains("lefs-before");
    const chosen = picks() && (event.key === "Enter" || (event.key === " " && !original));
    if (!original && !chosen) return;
    event.preventDefault();
    event.stopPropagation();
    if (original) press(true);
    else pick(canvas.classList.contains("lefs-regions") ? [...cursor] : [0.5, 0.5], event.shiftKey);
  });
  canvas.addEventListener("keyup", (event) => event.key === " " && press(false));
  parts.wipe.addEventListener("input", () => {
    parts.wiped = parts.wipe.value / 100;
    moved();
  });
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
  const word = element("span", "lefs-word", frame);
  const tip = element("span", "lefs-tip", frame);
  const wipe = element("input", "lefs-wipe", figure);
  Object.assign(wipe, { type: "range", min: 0, max: 100, value: 0, hidden: true });
  wipe.setAttribute("aria-label", "wipe: how much of the picture shows what was before");
  const note = element("div", "lefs-note", figure);
  const state = { cursor: [0.5, 0.5], hover: null, pressed: false, wiped: 0 };
  return { figure, title, canvas, word, tip, wipe, note, ...state };
}

function describe(parts, panel) {
  const { figure, title, canvas, word, wipe, note } = parts;
  title.textContent = panel.title;
  word.textContent = panel.word;
  canvas.dataset.panel = panel.title;
  canvas.classList.toggle("lefs-paint", panel.paint);
  canvas.classList.toggle("lefs-pick", panel.pick);
  canvas.classList.toggle("lefs-regions", !!panel.regions);
  canvas.classList.toggle("lefs-before", !!panel.before);
  figure.classList.toggle("lefs-chosen", panel.chosen);
  wipe.hidden = !panel.before;
  const live = panel.paint || panel.pick || panel.before;
  if (live) canvas.tabIndex = 0;
  else canvas.removeAttribute("tabindex");
  canvas.setAttribute("role", panel.pick && !panel.regions ? "button" : "img");
  if (panel.pick && !panel.regions) canvas.setAttribute("aria-pressed", panel.chosen);
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

const LAYOUTS = ["grid", "hero", "strip"];

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
  function live(parts, panel) {
    connect(parts, {
      begin: (point) => send({ number: stroke.number + 1, panel, points: [point] }),
      extend: (point) => send({ ...stroke, points: [...stroke.points, point] }),
      moved: schedule,
    });
    choose(parts, {
      pick: (at, shift) => {
        const number = (model.get("picked").number || 0) + 1;
        model.set("picked", { number, panel, at, shift, region: regionAt(model.get("frame").panels[panel], at) });
        model.save_changes();
      },
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
    for (const name of LAYOUTS) grid.classList.toggle(`lefs-${name}`, model.get("arrangement") === name);
    while (cells.length < panels.length) cells.push(live(cell(grid), cells.length));
    while (cells.length > panels.length) cells.pop().figure.remove();
    panels.forEach((panel, i) => {
      if (cells[i].panel !== panel) describe(cells[i], panel);
      cells[i].panel = panel;
      paint(cells[i], panel);
    });
    grid.dataset.frame = model.get("frame").number;
  }

  // Several frames may arrive between two repaints of the screen: only the newest is worth painting.
  function schedule() {
    if (!pending) pending = requestAnimationFrame(draw);
  }

  function told(message) {
    if (message.copy !== undefined) navigator.clipboard?.writeText(message.copy).catch(() => {});
  }

  const observer = new ResizeObserver(schedule);
  observer.observe(grid);
  const traits = ["frame", "columns", "arrangement"].map((name) => `change:${name}`);
  for (const name of traits) model.on(name, schedule);
  model.on("msg:custom", told);
  draw();
  return () => {
    observer.disconnect();
    for (const name of traits) model.off(name, schedule);
    model.off("msg:custom", told);
    if (pending) cancelAnimationFrame(pending);
  };
}

export default { render };

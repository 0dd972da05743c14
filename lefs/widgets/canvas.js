// Paints the panels of a frame: raw RGB bytes, enlarged to the device's own pixels. No network, no libraries.

const SMOOTHING = "high";
const PRESS = 350; // milliseconds: a shorter press is a click
const LEAVES = 0.2; // share of a tree's height that its leaves take
const BEAT = 5000, PATIENCE = 3000; // milliseconds between signs of life, and to wait for one

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

/** Whether two buffers, either of which may be missing, hold the same. */
function same(one, other) {
  if (!one || !other || one.byteLength !== other.byteLength) return one === other;
  const [a, b] = [one, other].map((view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** The two pictures of a panel, ready to be drawn at this width; made anew only where they are others. */
function prepared(parts, panel, width) {
  const factor = Math.ceil(width / panel.width), { ready } = parts;
  const kept = ready?.factor === factor && ready.panel.width === panel.width;
  if (kept && (ready.panel === panel || ["pixels", "before"].every((name) => same(ready.panel[name], panel[name])))) {
    ready.panel = panel;
    return ready;
  }
  const make = (pixels) => {
    const own = source(panel.width, panel.height, pixels);
    return factor < 2 ? own : squares(own, factor);
  };
  return (parts.ready = { panel, factor, picture: make(panel.pixels), before: panel.before && make(panel.before) });
}

/** A path in black and white, seen on any picture. */
function twice(context, path) {
  for (const [color, width] of [["#000", 4], ["#fff", 2]]) {
    context.strokeStyle = color;
    context.lineWidth = width;
    context.stroke(path);
  }
}

/** Where the next keyboard stroke falls. */
function ring(canvas, [x, y]) {
  const path = new Path2D();
  path.arc(x * canvas.width, y * canvas.height, Math.min(canvas.width / 40, 8 * window.devicePixelRatio), 0, 2 * Math.PI);
  twice(canvas.getContext("2d"), path);
}

function regionAt(panel, [x, y]) {
  if (!panel.regions) return -1;
  const { rows, columns, of } = panel.regions;
  const row = Math.min(rows - 1, Math.floor(y * rows));
  const column = Math.min(columns - 1, Math.floor(x * columns));
  return of.getInt16(2 * (row * columns + column), true);
}

/** All regions at a place: one of a picture, of a tree all the leaves of the branch there. */
function regionsAt(panel, [x, y]) {
  if (!panel.tree) return [regionAt(panel, [x, y])].filter((region) => region >= 0);
  const { order, joins } = panel.tree;
  const leaf = Math.min(order.length - 1, Math.floor(x * order.length));
  const height = 1 - y / (1 - LEAVES);
  const branch = joins.findLast(([first, last, top]) => first <= leaf && leaf <= last && top <= height);
  return branch ? order.slice(branch[0], branch[1] + 1) : [order[leaf]];
}

/** The border of some regions. */
function outline(canvas, panel, regions) {
  if (!panel.regions || !regions.length) return;
  const { rows, columns, of } = panel.regions;
  const wanted = new Set(regions);
  const inside = (r, c) =>
    r >= 0 && c >= 0 && r < rows && c < columns && wanted.has(of.getInt16(2 * (r * columns + c), true));
  const [dx, dy] = [canvas.width / columns, canvas.height / rows];
  const context = canvas.getContext("2d");
  const path = new Path2D();
  const edge = (x0, y0, x1, y1) => {
    path.moveTo(x0 * dx, y0 * dy);
    path.lineTo(x1 * dx, y1 * dy);
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
  twice(context, path);
}

/** A dendrogram: leaves in their colours along the lower edge, branches in the colour of the text. */
function drawTree(canvas, { order, joins, colors }, marked) {
  const context = canvas.getContext("2d"), { width, height } = canvas, ratio = window.devicePixelRatio;
  const wanted = new Set(marked), step = width / order.length, ground = height * (1 - LEAVES);
  const [px, py] = [(x) => (x + 0.5) * step, (y) => 2 * ratio + (1 - y) * (ground - 2 * ratio)];
  context.clearRect(0, 0, width, height);
  const path = new Path2D();
  order.forEach((region, i) => {
    context.fillStyle = colors[i];
    const wide = step > 6 * ratio ? step - ratio : step;
    context.fillRect(i * step, ground, wide, height - ground);
    if (wanted.has(region)) path.rect(i * step + ratio, ground + ratio, wide - 2 * ratio, height - ground - 2 * ratio);
  });
  context.strokeStyle = "#888"; // seen in both themes
  for (const [first, last, top, left, right, low, high] of joins) {
    context.lineWidth = ratio * (order.slice(first, last + 1).every((region) => wanted.has(region)) ? 2.5 : 1);
    context.beginPath();
    context.moveTo(px(left), py(low));
    context.lineTo(px(left), py(top));
    context.lineTo(px(right), py(top));
    context.lineTo(px(right), py(high));
    context.stroke();
  }
  twice(context, path);
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
    const path = new Path2D();
    path.moveTo(x, 0);
    path.lineTo(x, canvas.height);
    twice(context, path);
  }
}

/** How much of a picture some regions take, in words. */
function shareOf(panel, regions) {
  const { rows, columns, of } = panel.regions, wanted = new Set(regions);
  let count = 0;
  for (let i = 0; i < rows * columns; i++) count += wanted.has(of.getInt16(2 * i, true));
  return `here ${((100 * count) / (rows * columns)).toFixed(1)}%`;
}

/** What lies under the pointer, in words: the names of a picture's own regions, or of all pictures' together. */
function spoken(panel, regions, names) {
  if (panel.names.length) return panel.names[regions[0]] ?? "";
  const said = regions.slice(0, 3).map((region) => names[region] ?? region);
  const told = regions.length > 3 ? [`${regions.length} clusters: ${said[0]}, …`] : said;
  return [...told, ...(panel.regions ? [shareOf(panel, regions)] : [])].join(" · ");
}

/**
 * Paints a panel on `across` pixels of the page. `names` and `marked` regions are those of all pictures; `hovered` ones
 * lie under the pointer on some picture.
 */
function paint(parts, panel, across, { names, marked, hovered }) {
  const { canvas, cursor } = parts;
  const width = Math.round(across * window.devicePixelRatio);
  const height = Math.round(width * panel.height / panel.width);
  if (width === 0) return;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const focused = document.activeElement === canvas && canvas.matches(":focus-visible");
  const keyed = focused && (panel.paint || panel.regions || panel.tree);
  const place = parts.hover ?? (keyed ? cursor : null);
  const here = !place || panel.paint ? [] : parts.swept ?? regionsAt(panel, place);
  parts.tip.textContent = here.length ? spoken(panel, here, names) : "";
  if (panel.tree) {
    drawTree(canvas, panel.tree, [...marked, ...hovered]);
    if (keyed) ring(canvas, cursor);
    return;
  }
  const ready = prepared(parts, panel, width), { picture, before } = ready;
  // What stands there already, without an outline, is not painted again.
  const bare = !keyed && !parts.pressed && ![here, marked, hovered].some((regions) => regions.length);
  const look = bare ? `${width} ${height} ${parts.wiped}` : null;
  if (look && look === parts.look && parts.painted === ready) return;
  Object.assign(parts, { look, painted: ready });
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = SMOOTHING;
  context.drawImage(picture, 0, 0, width, height);
  if (before) wipe(canvas, before, parts.pressed ? 1 : parts.wiped);
  if (!parts.pressed) {
    outline(canvas, panel, marked);
    outline(canvas, panel, names.length ? hovered : here.filter((region) => panel.names[region]));
  }
  if (keyed) ring(canvas, cursor);
}

const clamp = (value) => Math.min(1, Math.max(0, value));
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function placed(canvas, event) {
  const box = canvas.getBoundingClientRect();
  return [clamp((event.clientX - box.left) / box.width), clamp((event.clientY - box.top) / box.height)];
}

/**
 * Painting and choosing on a canvas. `begin` starts a stroke, `extend` adds a point to it; `pick` chooses a place, or
 * all that the pointer went over; `moved` paints anew. To press shows what was before, where there is such a picture.
 */
function listen(parts, { begin, extend, pick, moved }) {
  const { canvas, cursor } = parts;
  const regions = ({ regions, tree }) => Boolean(regions || tree);
  // Where a press has no other meaning, all that it goes over is chosen together.
  const sweeps = (panel) => panel.pick && !panel.before && regions(panel);
  const sweep = () => (parts.swept = [...new Set([...(parts.swept ?? []), ...regionsAt(parts.panel, parts.hover)])]);
  const more = (event) => event.shiftKey || event.ctrlKey || event.metaKey;
  let since = 0;
  const press = (down) => {
    parts.pressed = down;
    moved();
  };
  canvas.addEventListener("pointerdown", (event) => {
    const { panel } = parts;
    if (event.button !== 0) return;
    since = event.timeStamp;
    if (panel.before) press(true);
    if (panel.paint || sweeps(panel)) canvas.setPointerCapture(event.pointerId);
    if (panel.paint) return begin(placed(canvas, event));
    parts.hover = placed(canvas, event);
    if (sweeps(panel)) sweep();
  });
  canvas.addEventListener("pointermove", (event) => {
    const { panel } = parts, down = event.buttons & 1;
    if (panel.paint) {
      if (down && canvas.hasPointerCapture(event.pointerId)) extend(placed(canvas, event));
      return;
    }
    parts.hover = placed(canvas, event);
    if (parts.swept && down) sweep();
    if (regions(panel)) moved();
  });
  canvas.addEventListener("pointerleave", () => {
    parts.hover = parts.swept = null;
    press(false);
  });
  canvas.addEventListener("pointerup", (event) => {
    const { swept, panel } = parts;
    parts.swept = null;
    press(false);
    if (panel.pick && event.button === 0 && (swept || event.timeStamp - since < PRESS))
      pick(placed(canvas, event), more(event), swept);
  });
  canvas.addEventListener("keydown", (event) => {
    const { panel } = parts, { key } = event;
    const arrow = (panel.paint || regions(panel)) && ARROWS[key];
    if (arrow) arrow.forEach((step, axis) => (cursor[axis] = clamp(cursor[axis] + step / 32)));
    else if (panel.paint && key === " ") begin([...cursor]);
    else if (panel.before && key === " ") parts.pressed = true;
    else if (panel.pick && (key === "Enter" || key === " ")) pick(regions(panel) ? [...cursor] : [0.5, 0.5], more(event));
    else return;
    // The notebook would scroll, or leave the cell.
    event.preventDefault();
    event.stopPropagation();
    moved();
  });
  canvas.addEventListener("keyup", (event) => event.key === " " && press(false));
  for (const name of ["focus", "blur"]) canvas.addEventListener(name, moved);
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
  tip.setAttribute("aria-live", "polite");
  const wipe = element("input", "lefs-wipe", figure);
  Object.assign(wipe, { type: "range", min: 0, max: 100, value: 0, hidden: true });
  wipe.setAttribute("aria-label", "wipe: how much of the picture shows what was before");
  const note = element("div", "lefs-note", figure);
  const state = { cursor: [0.5, 0.5], hover: null, swept: null, pressed: false, wiped: 0 };
  return { figure, title, canvas, word, tip, wipe, note, ...state };
}

function describe(parts, panel) {
  const { figure, title, canvas, word, wipe, note } = parts;
  title.textContent = panel.title;
  word.textContent = panel.word;
  canvas.dataset.panel = panel.title;
  canvas.classList.toggle("lefs-paint", panel.paint);
  canvas.classList.toggle("lefs-pick", panel.pick);
  canvas.classList.toggle("lefs-regions", !!panel.regions || !!panel.tree);
  figure.classList.toggle("lefs-tree", !!panel.tree);
  figure.classList.toggle("lefs-chosen", panel.chosen);
  wipe.hidden = !panel.before;
  const live = panel.paint || panel.pick || panel.before;
  if (live) canvas.tabIndex = 0;
  else canvas.removeAttribute("tabindex");
  const whole = panel.pick && !panel.regions && !panel.tree;
  canvas.setAttribute("role", whole ? "button" : "img");
  if (whole) canvas.setAttribute("aria-pressed", panel.chosen);
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

/**
 * Asks the kernel for signs of life, and says in the panel when somebody works there and none come.
 * A kernel that is gone takes what is typed in silence.
 */
function heartbeat(model, el) {
  const panel = el.closest(".lefs-panel");
  if (!panel) return () => {};
  const notice = element("div", "lefs-dead", panel);
  Object.assign(notice, { hidden: true, role: "alert" });
  panel.prepend(notice);
  let missed = 0, waiting = 0, again = false;
  const ask = () => {
    missed += 1;
    try {
      model.send({ kind: "ping" });
    } catch {
      // (there is no connection, and nobody will answer)
    }
  };
  const answered = (content) => {
    if (content?.kind !== "pong") return;
    missed = 0;
    notice.hidden = true;
  };
  const look = () => {
    waiting = 0;
    if (!missed) {
      // (what was done meanwhile may have met a kernel that had ended after its last answer)
      if (again) acted();
      return;
    }
    notice.textContent =
      "The kernel does not answer: it is busy, or has ended. Where it has ended, nothing that you do here is " +
      "kept: run the notebook again, and what was saved before is taken up.";
    notice.hidden = false;
  };
  const acted = () => {
    again = Boolean(waiting);
    if (waiting) return;
    ask();
    waiting = setTimeout(look, PATIENCE);
  };
  const events = ["input", "change", "pointerdown", "keydown"];
  model.on("msg:custom", answered);
  events.forEach((name) => panel.addEventListener(name, acted, true));
  const timer = setInterval(() => notice.hidden || ask(), BEAT);
  return () => {
    clearInterval(timer);
    clearTimeout(waiting);
    model.off("msg:custom", answered);
    events.forEach((name) => panel.removeEventListener(name, acted, true));
    notice.remove();
  };
}

const CONTROLS = ".widget-inline-hbox:not(.widget-html), .jupyter-button";
const focusable = (control) => control.querySelector(".noUi-handle, select, input") ?? control;

/** What a control is called: by the words that are seen, else by those that a resting pointer is told. */
function nameOf(control) {
  const plain = (text) => text.replace(/\u200b/g, "").trim();
  const labels = [...control.querySelectorAll(".widget-label, .widget-label-basic")];
  const seen = control.matches(".widget-upload") ? [] : control.matches("button") ? [control] : labels;
  return seen.map((words) => plain(words.textContent)).find(Boolean) ?? focusable(control).title.split(/[:;]/)[0];
}

/** Names for those who hear the panel, and keys for what only a pointer would open. */
function nameControls(panel) {
  for (const icon of panel.querySelectorAll("i.fa")) icon.ariaHidden = "true";
  for (const control of panel.querySelectorAll(CONTROLS)) {
    // (a button's words change, and are its name)
    if (!control.matches("button:not(.widget-upload)")) focusable(control).ariaLabel = nameOf(control);
    const readout = control.querySelector(".widget-readout");
    if (readout) Object.assign(readout, { role: "textbox", ariaLabel: `${nameOf(control)}, typed` });
  }
  for (const header of panel.querySelectorAll(".jupyter-widget-Collapse-header")) {
    Object.assign(header, { tabIndex: 0, role: "button", ariaExpanded: !!header.querySelector(".fa-caret-down") });
    header.onkeydown = (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      event.stopPropagation();
      header.click();
    };
  }
}

/** Says what the control in focus, or under the pointer, is for; and gives all of them names. */
function helpLine(model, el) {
  const panel = el.closest(".lefs-panel");
  const shown = panel?.querySelector(".lefs-help .widget-html-content, .lefs-help");
  const help = model.get("help");
  if (!shown || !Object.keys(help).length) return () => {};
  shown.setAttribute("aria-live", "polite");
  const look = (event) => {
    const control = event.target.closest?.(CONTROLS);
    if (!control || !panel.contains(control)) return;
    const words = help[nameOf(control)] ?? focusable(control).title;
    if (!words) return;
    shown.textContent = words;
    focusable(control).ariaDescription = words;
  };
  let waiting = 0;
  const changed = new MutationObserver(() => {
    clearTimeout(waiting);
    waiting = setTimeout(nameControls, 200, panel);
  });
  changed.observe(panel, { childList: true, subtree: true, attributeFilter: ["class"] });
  nameControls(panel);
  for (const name of ["focusin", "pointerover"]) panel.addEventListener(name, look);
  return () => {
    changed.disconnect();
    clearTimeout(waiting);
    ["focusin", "pointerover"].forEach((name) => panel.removeEventListener(name, look));
  };
}

const MOST = 2 ** 26; // bytes of a file

/** A file that is dropped onto the pictures goes to the kernel. */
function takeFiles(model, grid) {
  const over = (event) => {
    if (!model.get("files") || !event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    grid.classList.toggle("lefs-drop", event.type === "dragover");
    if (event.type !== "drop") return;
    event.stopPropagation();
    const file = event.dataTransfer.files[0];
    if (file.size > MOST) model.send({ file: file.name, size: file.size });
    else file.arrayBuffer().then((bytes) => model.send({ file: file.name }, undefined, [bytes]));
  };
  for (const name of ["dragover", "dragleave", "drop"]) grid.addEventListener(name, over);
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
    listen(parts, {
      begin: (point) => send({ number: stroke.number + 1, panel, points: [point] }),
      extend: (point) => send({ ...stroke, points: [...stroke.points, point] }),
      pick: (at, shift, swept) => {
        const number = (model.get("picked").number || 0) + 1;
        const regions = swept ?? regionsAt(model.get("frame").panels[panel], at);
        model.set("picked", { number, panel, at, shift, region: regions[0] ?? -1, regions });
        model.save_changes();
      },
      moved: schedule,
    });
    return parts;
  }

  function draw() {
    pending = 0;
    const { panels, names = [], marked = [] } = model.get("frame");
    const columns = model.get("columns");
    const widest = `${model.get("widest")}px`;
    grid.style.gridTemplateColumns = `repeat(${columns}, minmax(0, ${widest}))`;
    for (const name of LAYOUTS) grid.classList.toggle(`lefs-${name}`, model.get("arrangement") === name);
    while (cells.length < panels.length) cells.push(live(cell(grid), cells.length));
    while (cells.length > panels.length) cells.pop().figure.remove();
    panels.forEach((panel, i) => {
      if (cells[i].panel === panel) return;
      const said = JSON.stringify(panel, (_, value) => (ArrayBuffer.isView(value) ? 0 : value));
      if (cells[i].said !== said) describe(cells[i], panel);
      Object.assign(cells[i], { panel, said });
    });
    const under = cells.find((parts) => parts.hover || parts.canvas.matches(":focus-visible"));
    const place = under && (under.hover ?? under.cursor);
    const hovered = place && names.length ? under.swept ?? regionsAt(under.panel, place) : [];
    // (all are measured before the first is painted: the page is laid out once)
    const across = cells.map(({ canvas }) => canvas.getBoundingClientRect().width);
    cells.forEach((parts, i) => paint(parts, parts.panel, across[i], { names, marked, hovered }));
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
  // (an element is put into its panel after it is made)
  let rest = () => {};
  takeFiles(model, grid);
  const started = setTimeout(() => {
    const main = Object.keys(model.get("help")).length; // of the canvases of a panel
    const ends = main ? [heartbeat(model, el), helpLine(model, el)] : [];
    rest = () => ends.forEach((end) => end());
  }, 500);
  return () => {
    clearTimeout(started);
    rest();
    observer.disconnect();
    for (const name of traits) model.off(name, schedule);
    model.off("msg:custom", told);
    if (pending) cancelAnimationFrame(pending);
  };
}

export default { render };

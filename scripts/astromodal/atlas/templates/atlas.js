"use strict";
// The atlas. Text of the data is only ever set as text of an element, never as HTML.
(() => {
const element = id => document.getElementById(id);
const read = id => JSON.parse(element(id).textContent);
const make = (tag, options = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), options);
  made.append(...children);
  return made;
};
const unpack = (text, type) => {
  const binary = atob(text), bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return new type(bytes.buffer);
};

// ---- The data

const survey = read("survey");
element("survey").remove();
const ids = survey.ids, n = ids.length;
const x = unpack(survey.x, Float32Array), y = unpack(survey.y, Float32Array);
const near = unpack(survey.near, Int32Array);
const detailed = unpack(survey.detailed, Int32Array);
const placeOf = new Map(Array.from(detailed, (object, place) => [object, place]));
const columns = survey.columns.map(column => ({
  ...column,
  label: {predicted: `${column.name}, predicted`, measured: `${column.name}, measured`}[column.kind] || column.name,
  values: unpack(column.values, column.kind === "category" ? Int32Array : Float32Array),
  low: column.low && unpack(column.low, Float32Array),
  high: column.high && unpack(column.high, Float32Array),
}));
const named = new Map(columns.map(column => [`${column.kind} ${column.name}`, column]));
for (const group of Object.values(survey.groups)) group.points = unpack(group.points, Float32Array);
const chunks = new Map();
const detailsOf = object => {
  const place = placeOf.get(object);
  if (place === undefined) return null;
  const chunk = Math.floor(place / survey.chunk);
  if (!chunks.has(chunk)) chunks.set(chunk, read(`details-${chunk}`));
  return chunks.get(chunk)[place % survey.chunk];
};
const pictureOf = details => `data:image/jpeg;base64,${details.rgb}`;
const whole = number => number.toLocaleString("en-US");
const plural = number => `${whole(number)} object${number === 1 ? "" : "s"}`;
const shown = value => {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2);
  return value.toFixed(size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : size >= 1 ? 3 : 4).replace("-", "−");
};

// ---- Colours

const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const rgb = colour => [1, 3, 5].map(i => parseInt(colour.slice(i, i + 2), 16));
const viridis = Array.from(Bokeh.Palettes.Viridis256, colour =>
  typeof colour === "string" ? rgb(colour) : [colour >>> 24, (colour >>> 16) & 255, (colour >>> 8) & 255]
).slice(38, 250); // neither end vanishes, on a white page or on a dark one
let theme, colouring;
const readTheme = () => {
  theme = {page: rgb(css("--page")), missing: rgb(css("--missing")), other: rgb(css("--other")), ink: css("--ink"),
    faint: css("--faint"), grid: css("--grid"), kinds: [0, 1, 2, 3, 4, 5].map(i => css(`--c${i}`))};
};
const UNKNOWN = 0, OTHER = 1; // of `shade`, which counts colours of `palette`

const colourByName = column => {
  const counts = new Int32Array(column.names.length);
  for (const value of column.values) counts[value]++;
  const order = column.names.map((_, i) => i).filter(i => column.names[i] !== "");
  order.sort((a, b) => counts[b] - counts[a]); // most common ones first: they have colours
  const shadeOf = new Uint16Array(column.names.length).fill(OTHER);
  const most = order.length > theme.kinds.length ? theme.kinds.length : order.length;
  const coloured = order.slice(0, most).sort((a, b) => a - b); // by name, as the names are
  coloured.forEach((name, i) => { shadeOf[name] = 2 + i; });
  column.names.forEach((name, i) => { if (name === "") shadeOf[i] = UNKNOWN; });
  const shade = new Uint16Array(n);
  for (let i = 0; i < n; i++) shade[i] = shadeOf[column.values[i]];
  const entries = coloured.map((name, i) => ({name: column.names[name], shade: 2 + i, count: counts[name]}));
  const sum = wanted => column.names.reduce((total, _, i) => total + (shadeOf[i] === wanted ? counts[i] : 0), 0);
  if (order.length > most) entries.push({name: `${order.length - most} others`, shade: OTHER, count: sum(OTHER)});
  if (sum(UNKNOWN)) entries.push({name: "unknown", shade: UNKNOWN, count: sum(UNKNOWN)});
  return {column, shade, palette: [theme.missing, theme.other, ...theme.kinds.map(rgb)], entries};
};

const colourByValue = column => {
  const known = column.values.filter(Number.isFinite).sort();
  const quantile = q => known.length ? known[Math.round(q * (known.length - 1))] : q;
  const low = quantile(0.02), high = quantile(0.98), span = high - low || 1;
  const shade = new Uint16Array(n);
  for (let i = 0; i < n; i++) {
    const value = column.values[i];
    if (!Number.isFinite(value)) continue; // unknown
    shade[i] = 2 + Math.max(0, Math.min(viridis.length - 1, Math.floor((value - low) / span * viridis.length)));
  }
  return {column, shade, palette: [theme.missing, theme.other, ...viridis], low, high, missing: n - known.length};
};

// ---- What is shown and selected

let hidden = new Set(), selected = new Uint8Array(n), nSelected = 0, current = -1, drawOrder;
const scattered = (() => { // a fixed random order, so that no field lies above the others
  const order = Uint32Array.from({length: n}, (_, i) => i);
  let state = 12345;
  for (let i = n - 1; i > 0; i--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const j = state % (i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
})();
const isShown = i => !hidden.has(colouring.shade[i]) && (!element("only").checked || placeOf.has(i));
const arrange = () => { // unknown ones below, selected ones above
  const layers = [[], [], []];
  for (const i of scattered)
    if (isShown(i)) layers[nSelected && selected[i] ? 2 : colouring.shade[i] === UNKNOWN ? 0 : 1].push(i);
  drawOrder = Uint32Array.from(layers.flat());
  schedule();
};

// ---- The map: Bokeh has the tools, and an image of the points

const {ndarray} = Bokeh.require("core/util/ndarray");
const picture = (width, height, data) => ({image: [ndarray(data.buffer, {dtype: "uint32", shape: [height, width]})]});
Bokeh.set_log_level("warn");
const image = new Bokeh.ColumnDataSource({data: {...picture(1, 1, new Uint32Array(1)), x: [0], y: [0], dw: [1], dh: [1]}});
const marks = new Bokeh.ColumnDataSource({data: {x: [], y: [], size: [], width: []}});
const plot = Bokeh.Plotting.figure({
  sizing_mode: "stretch_both", output_backend: "canvas", x_range: [0, 1], y_range: [0, 1], min_border: 0,
  tools: "pan,box_select,lasso_select,wheel_zoom,zoom_in,zoom_out,reset", toolbar_location: "right", active_scroll: "wheel_zoom",
});
plot.toolbar.logo = null;
for (const tool of plot.toolbar.tools) if ("renderers" in tool) tool.renderers = [];
const painted = plot.image_rgba({
  image: {field: "image"}, x: {field: "x"}, y: {field: "y"}, dw: {field: "dw"}, dh: {field: "dh"}, source: image,
});
const rings = plot.scatter({
  x: {field: "x"}, y: {field: "y"}, size: {field: "size"}, line_width: {field: "width"}, fill_color: null, source: marks,
});
for (const axis of [...plot.above, ...plot.below, ...plot.left, ...plot.right])
  if ("axis_label" in axis) axis.visible = false;
for (const each of plot.center) each.visible = false; // grids
const paint = figure => Object.assign(figure, {
  background_fill_color: null, border_fill_color: null, outline_line_color: null,
});
paint(plot);

let waiting = false, started = false;
const schedule = () => {
  if (waiting || !started) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; draw(); });
};
const view = () => ({left: plot.x_range.start, right: plot.x_range.end, low: plot.y_range.start, top: plot.y_range.end});

const discOf = radius => { // pixels of a disc: x, y, coverage
  const out = [], size = Math.ceil(radius + 0.5);
  for (let v = -size; v <= size; v++)
    for (let u = -size; u <= size; u++) {
      const cover = Math.min(1, radius + 0.5 - Math.hypot(u, v));
      if (cover > 0.02) out.push([u, v, cover]);
    }
  return out;
};

const draw = () => {
  const scale = window.devicePixelRatio || 1;
  const width = Math.round(plot.inner_width * scale), height = Math.round(plot.inner_height * scale);
  if (!(width > 4 && height > 4) || !drawOrder) return;
  const {left, right, low, top} = view();
  const pixels = new Uint32Array(width * height), bytes = new Uint8ClampedArray(pixels.buffer);
  pixels.fill(0xff000000 | (theme.page[2] << 16) | (theme.page[1] << 8) | theme.page[0]);
  const perX = width / (right - left), perY = height / (top - low);
  let inside = 0;
  for (const i of drawOrder) if (x[i] > left && x[i] < right && y[i] > low && y[i] < top) inside++;
  const radius = scale * Math.max(1.1, Math.min(4.5, 0.22 * Math.sqrt(width * height / (inside + 1)) / scale));
  const disc = discOf(radius), margin = Math.ceil(radius) + 1;
  for (const i of drawOrder) {
    const px = Math.floor((x[i] - left) * perX), py = Math.floor((y[i] - low) * perY);
    if (px < margin || py < margin || px >= width - margin || py >= height - margin) continue;
    const [r, g, b] = colouring.palette[colouring.shade[i]];
    const alpha = nSelected && !selected[i] ? 0.13 : 0.85;
    for (const [u, v, cover] of disc) {
      const at = 4 * ((py + v) * width + px + u), a = alpha * cover;
      bytes[at] += a * (r - bytes[at]);
      bytes[at + 1] += a * (g - bytes[at + 1]);
      bytes[at + 2] += a * (b - bytes[at + 2]);
    }
  }
  image.data = {...picture(width, height, pixels), x: [left], y: [low], dw: [right - left], dh: [top - low]};
};

const extent = values => {
  let low = Infinity, high = -Infinity;
  for (const value of values) { if (value < low) low = value; if (value > high) high = value; }
  return low < high ? [low, high] : [low - 1, low + 1];
};
const setView = (middleX, middleY, perPixel) => {
  const halfX = plot.inner_width / 2 * perPixel, halfY = plot.inner_height / 2 * perPixel;
  plot.x_range.setv({start: middleX - halfX, end: middleX + halfX});
  plot.y_range.setv({start: middleY - halfY, end: middleY + halfY});
};
const fit = () => {
  const [left, right] = extent(x), [low, top] = extent(y);
  const perPixel = 1.06 * Math.max((right - left) / plot.inner_width, (top - low) / plot.inner_height);
  setView((left + right) / 2, (low + top) / 2, perPixel);
};
const resized = () => { // as wide as high, whatever the window
  if (!started || !(plot.inner_width > 4 && plot.inner_height > 4)) return;
  const {left, right, low, top} = view();
  if (resized.done) setView((left + right) / 2, (low + top) / 2, (right - left) / resized.done);
  else fit();
  resized.done = plot.inner_width;
  schedule();
};
const pixelOf = i => {
  const {left, right, low, top} = view(), box = element("plot").getBoundingClientRect();
  return {
    x: box.left + frame.left + (x[i] - left) / (right - left) * plot.inner_width,
    y: box.top + frame.top + (top - y[i]) / (top - low) * plot.inner_height,
  };
};
const frame = {left: 0, top: 0};
const nearest = (atX, atY, reach) => {
  const {left, right} = view(), perPixel = (right - left) / plot.inner_width;
  let best = -1, least = (reach * perPixel) ** 2;
  for (const i of drawOrder) {
    const distance = (x[i] - atX) ** 2 + (y[i] - atY) ** 2;
    if (distance <= least) { least = distance; best = i; }
  }
  return best;
};

// ---- Colour and legend

const colourBy = column => {
  readTheme();
  hidden = new Set();
  colouring = column.kind === "category" ? colourByName(column) : colourByValue(column);
  const legend = element("legend");
  legend.replaceChildren();
  if (colouring.entries) for (const entry of colouring.entries) {
    const dot = make("span", {className: "dot"});
    dot.style.background = `rgb(${colouring.palette[entry.shade]})`;
    const button = make("button", {type: "button", title: "Hide or show"}, dot, `${entry.name} (${whole(entry.count)})`);
    button.setAttribute("aria-pressed", "true");
    button.addEventListener("click", () => {
      if (!hidden.delete(entry.shade)) hidden.add(entry.shade);
      button.setAttribute("aria-pressed", String(!hidden.has(entry.shade)));
      arrange();
    });
    legend.append(button);
  } else {
    const bar = make("div", {className: "bar"}), dot = make("span", {className: "dot"});
    bar.style.background = `linear-gradient(to right, ${viridis.filter((_, i) => i % 15 === 0).map(c => `rgb(${c})`)})`;
    dot.style.background = `rgb(${theme.missing})`;
    const {low, high, missing} = colouring, middle = (low + high) / 2;
    const title = column.unit ? `${column.label} (${column.unit})` : column.label;
    legend.append(make("div", {className: "scale", title: "The scale ends at the 2nd and 98th percentile."},
      make("div", {className: "title"}, make("span", {textContent: title}),
        make("span", {className: "missing"}, dot, `missing (${whole(missing)})`)),
      bar,
      make("div", {className: "ends"}, ...[`≤ ${shown(low)}`, shown(middle), `≥ ${shown(high)}`].map(text => make("span", {textContent: text})))));
  }
  rings.glyph.line_color = theme.ink;
  rings.nonselection_glyph = null;
  arrange();
};

// ---- Selection

const countSelected = () => {
  nSelected = 0;
  for (const each of selected) nSelected += each;
  element("count").textContent = nSelected ? `${plural(nSelected)} selected` : "Nothing selected";
  element("download").disabled = element("clear").disabled = !nSelected;
  arrange();
};
const inPolygon = (px, py, xs, ys) => {
  let inside = false;
  for (let i = 0, j = xs.length - 1; i < xs.length; j = i++)
    if ((ys[i] > py) !== (ys[j] > py) && px < (xs[j] - xs[i]) * (py - ys[i]) / (ys[j] - ys[i]) + xs[i]) inside = !inside;
  return inside;
};
let shift = false;
for (const kind of ["pointerdown", "pointermove", "pointerup"])
  document.addEventListener(kind, event => { shift = event.shiftKey; }, true);
const select = geometry => {
  if (!shift) selected.fill(0);
  if (geometry.type === "rect") {
    const [left, right] = [geometry.x0, geometry.x1].sort((a, b) => a - b);
    const [low, top] = [geometry.y0, geometry.y1].sort((a, b) => a - b);
    for (const i of drawOrder) if (x[i] >= left && x[i] <= right && y[i] >= low && y[i] <= top) selected[i] = 1;
  } else if (geometry.type === "poly") {
    for (const i of drawOrder) if (inPolygon(x[i], y[i], geometry.x, geometry.y)) selected[i] = 1;
  }
  countSelected();
};
const quoted = text => /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
const field = named.get("category field");
const table = () => {
  const lines = ["id,field"];
  for (let i = 0; i < n; i++) if (selected[i]) lines.push(`${quoted(ids[i])},${quoted(field.names[field.values[i]])}`);
  return `${lines.join("\r\n")}\r\n`;
};
element("clear").addEventListener("click", () => { selected.fill(0); countSelected(); });
element("download").addEventListener("click", () => {
  const address = URL.createObjectURL(new Blob([table()], {type: "text/csv"}));
  make("a", {href: address, download: "selected_ids.csv"}).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
});

// ---- One object

const said = (i, kind, name) => {
  const column = named.get(`${kind} ${name}`);
  return column ? column.names[column.values[i]] || "unknown" : "";
};
const broken = name => name.split("_").flatMap((part, i) => i ? ["_", make("wbr"), part] : [part]);
const rowOf = (name, unit, ...cells) => make("tr", {},
  make("th", {scope: "row"}, ...broken(name)), make("td", {}, ...cells), make("td", {className: "unit", textContent: unit}));
const predictionRow = (column, i) => {
  const value = column.values[i], low = column.low[i], high = column.high[i];
  if (!Number.isFinite(value)) return rowOf(column.name, column.unit, "–");
  const known = named.get(`measured ${column.name}`), own = known ? known.values[i] : NaN;
  const range = make("span", {className: "range", textContent: ` [${shown(low)}, ${shown(high)}]`});
  const cells = [shown(value), range];
  if (Number.isFinite(own)) cells.push(make("br"), make("span", {className: "range", textContent: `measured ${shown(own)}`}));
  return rowOf(column.name, column.unit, ...cells);
};
const graphs = new Map();
const graphOf = (family, group) => {
  if (graphs.has(family)) return graphs.get(family);
  const source = () => new Bokeh.ColumnDataSource({data: {x: [], y: []}});
  const measured = source(), decoded = source();
  const figure = paint(Bokeh.Plotting.figure({
    sizing_mode: "stretch_both", output_backend: "canvas", tools: "pan,wheel_zoom,reset", toolbar_location: null, min_border: 2,
  }));
  for (const [data, colour, width] of [[measured, theme.faint, 1], [decoded, theme.kinds[1], 1.6]])
    figure.line({field: "x"}, {field: "y"}, {source: data, line_width: width, line_color: colour});
  for (const axis of [...figure.below, ...figure.left]) Object.assign(axis, {
    axis_label: axis === figure.below[0] ? group.x : null, axis_label_text_font_size: "11px", axis_label_text_font_style: "normal",
    axis_label_text_color: theme.faint, major_label_text_color: theme.faint, major_label_text_font_size: "10px",
    axis_line_color: theme.grid, major_tick_line_color: theme.grid, minor_tick_line_color: null,
  });
  for (const grid of figure.center) grid.grid_line_color = theme.grid;
  const place = make("div", {className: "graph"});
  const holder = make("div", {}, make("h4", {textContent: `${family}: ${group.y}`}), place);
  element("graphs").append(holder);
  Bokeh.Plotting.show(figure, place);
  graphs.set(family, {holder, measured, decoded});
  return graphs.get(family);
};
const showSpectra = details => {
  const spectra = details ? details.spectra : {}, families = new Map();
  for (const [name, group] of Object.entries(survey.groups)) {
    const own = spectra[name];
    if (!own) continue;
    if (!families.has(group.family)) families.set(group.family, {group, measured: {x: [], y: []}, decoded: {x: [], y: []}});
    for (const kind of ["measured", "decoded"]) {
      const steps = unpack(own[kind], Int16Array), line = families.get(group.family)[kind];
      line.x.push(...group.points, NaN); // a gap between arms
      line.y.push(...Array.from(steps, step => step < 0 ? NaN : own.low + step * own.step), NaN);
    }
  }
  const note = element("spectra").querySelector(".note");
  note.textContent = !details ? "The page has no spectra of this object: it is not in the sample with details."
    : families.size ? "" : "This object has no spectrum.";
  if (families.size) {
    const dash = colour => { const dot = make("span", {className: "dot"}); dot.style.background = colour; return dot; };
    note.replaceChildren(dash(theme.faint), " measured ", dash(theme.kinds[1]), " decoded from its codes");
  }
  for (const [family, graph] of graphs) graph.holder.hidden = !families.has(family);
  for (const [family, lines] of families) {
    const graph = graphOf(family, lines.group);
    graph.holder.hidden = false;
    graph.measured.data = lines.measured;
    graph.decoded.data = lines.decoded;
  }
};
const showNeighbours = i => {
  const list = element("neighbours");
  list.replaceChildren();
  for (let k = 0; k < survey.n_near; k++) {
    const other = near[i * survey.n_near + k], details = detailsOf(other), column = colouring.column;
    const value = column.kind === "category" ? column.names[column.values[other]] || "unknown" : shown(column.values[other]);
    const dot = make("span", {className: "dot"});
    dot.style.background = `rgb(${colouring.palette[colouring.shade[other]]})`;
    const look = details && details.rgb ? make("img", {src: pictureOf(details), alt: ""}) : make("span", {className: "none"}, dot);
    const text = make("span", {className: "name"}, ids[other], make("span", {className: "what", textContent: value}));
    const button = make("button", {type: "button"}, look, text);
    button.addEventListener("click", () => choose(other, true));
    list.append(make("li", {}, button));
  }
};
const markObjects = () => {
  const others = Array.from(near.subarray(current * survey.n_near, (current + 1) * survey.n_near));
  const all = current < 0 ? [] : [...others, current];
  marks.data = {
    x: all.map(i => x[i]), y: all.map(i => y[i]),
    size: all.map(i => i === current ? 18 : 9), width: all.map(i => i === current ? 2.5 : 1),
  };
};
const choose = (i, follow = false) => {
  current = i;
  element("empty").hidden = true;
  element("object").hidden = false;
  element("id").textContent = ids[i];
  const words = columns.filter(column => column.kind === "category").map(column =>
    `${column.name} ${column.names[column.values[i]] || "unknown"}`);
  element("where").textContent = words.join(" · ");
  const details = detailsOf(i), figure = element("cutout"), photo = figure.querySelector("img");
  photo.hidden = !(details && details.rgb);
  figure.hidden = !details;
  if (details && details.rgb) { photo.src = pictureOf(details); photo.alt = `Cutout of ${ids[i]}`; }
  figure.querySelector("figcaption").textContent = details && details.rgb
    ? `${survey.bands.join(", ")} as red, green and blue` : "This object has no cutout.";
  const rows = kind => columns.filter(column => column.kind === kind);
  const predictions = rows("predicted").map(column => predictionRow(column, i));
  const measurements = rows("measured").filter(column => Number.isFinite(column.values[i]))
    .map(column => rowOf(column.name, column.unit, shown(column.values[i])));
  const nothing = text => make("tr", {}, make("td", {textContent: text, className: "unit"}));
  element("predictions").replaceChildren(...(predictions.length ? predictions : [nothing("Nothing was predicted.")]));
  element("measurements").replaceChildren(...(measurements.length ? measurements : [nothing("None of the columns is known.")]));
  showSpectra(details);
  showNeighbours(i);
  markObjects();
  const {left, right, low, top} = view();
  if (follow && !(x[i] > left && x[i] < right && y[i] > low && y[i] < top))
    setView(x[i], y[i], (right - left) / plot.inner_width);
  element("panel").scrollTop = 0;
};

// ---- Events

const tip = make("div", {id: "tip", hidden: true});
element("plot").append(tip);
let hovered = -1;
const hover = event => {
  const i = nearest(event.x, event.y, 7);
  if (i !== hovered) {
    hovered = i;
    tip.hidden = i < 0;
    if (i >= 0) {
      const column = colouring.column, details = detailsOf(i);
      const value = column.kind === "category" ? column.names[column.values[i]] || "unknown" : `${shown(column.values[i])} ${column.unit}`;
      tip.replaceChildren(make("b", {textContent: ids[i]}), make("div", {textContent: `${column.label}: ${value}`}));
      if (details && details.rgb) tip.append(make("img", {src: pictureOf(details), alt: ""}));
    }
  }
  if (i < 0) return;
  const box = element("plot").getBoundingClientRect();
  tip.style.left = `${event.sx + 14 + tip.offsetWidth < box.width ? event.sx + 14 : event.sx - 14 - tip.offsetWidth}px`;
  tip.style.top = `${Math.max(2, Math.min(event.sy + 10, box.height - tip.offsetHeight - 4))}px`;
};
plot.on_event("mousemove", hover);
plot.on_event("mouseleave", () => { hovered = -1; tip.hidden = true; });
plot.on_event("tap", event => {
  const i = nearest(event.x, event.y, 10);
  if (i >= 0) choose(i);
});
plot.on_event("selectiongeometry", event => { if (event.final) select(event.geometry); });
plot.on_event("reset", fit);
for (const range of [plot.x_range, plot.y_range]) range.change.connect(schedule);
for (const size of ["inner_width", "inner_height"]) plot.properties[size].change.connect(resized);

const colours = element("colour");
for (const [key, column] of named) colours.append(make("option", {value: key, textContent: column.label}));
colours.addEventListener("change", () => {
  colourBy(named.get(colours.value));
  if (current >= 0) showNeighbours(current);
});
element("only").addEventListener("change", arrange);
let numberOf = null;
element("find").addEventListener("change", event => {
  const text = event.target.value.trim();
  if (!numberOf) numberOf = new Map(ids.map((id, i) => [id, i]));
  const i = numberOf.get(text);
  element("message").textContent = text && i === undefined ? "No object of this map has this id." : "";
  if (i !== undefined) choose(i, true);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  colourBy(named.get(colours.value));
  for (const {holder} of graphs.values()) holder.remove();
  graphs.clear();
  if (current >= 0) choose(current);
});

colourBy(named.get(colours.value));
Bokeh.Plotting.show(plot, element("plot")).then(() => {
  started = true;
  resized();
  const of = survey.n_objects > n ? ` of ${whole(survey.n_objects)}` : "";
  element("summary").textContent = `${plural(n)}${of} · ${survey.method} of embeddings · cutouts and spectra of ${whole(detailed.length)} · model ${survey.model}`;
  document.body.dataset.ready = "true";
});

// For the console, and for tests.
window.atlas = {pixelOf, ids, current: () => current, selected: () => ids.filter((_, i) => selected[i]), table};
})();

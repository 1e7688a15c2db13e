// What every piece uses: a card that follows the page's theme, knobs, a drawing in the page's own pixels, handles.
// Okabe and Ito's colours; on a dark page blue becomes sky. Text is never smaller than 14 pixels.
const STYLE = `
.live { all: initial; display: block; box-sizing: border-box; max-width: 820px; padding: 12px 16px; border: 1px solid var(--line);
  border-radius: 8px; font: 16px/1.45 system-ui, "Segoe UI", "Helvetica Neue", Arial, "Noto Sans", sans-serif;
  color: var(--ink); background: var(--paper);
  --ink: #1a1a1a; --paper: #ffffff; --line: #767676; --soft: #dfe5ea; --blue: #0072b2; --orange: #e69f00; --green: #009e73;
  --red: #d55e00; --purple: #cc79a7; --sky: #56b4e9; --grey: #666666; --onblue: #ffffff }
.live.dark { --ink: #f0f0f0; --paper: #1e1e1e; --line: #9a9a9a; --soft: #3d444b; --blue: #56b4e9; --green: #2bbf96;
  --red: #f0803c; --sky: #0072b2; --grey: #b0b0b0; --onblue: #000000 }
.live * { box-sizing: border-box }
h4 { font-size: 17px; line-height: 1.3; margin: 0 0 8px }
p { margin: 6px 0 0 } p:empty { display: none }
.try { color: var(--ink); border-left: 4px solid var(--orange); padding-left: 10px }
.knobs { display: flex; flex-wrap: wrap; gap: 4px 20px; align-items: center; margin-bottom: 6px }
.knobs label { display: inline-flex; align-items: center; gap: 8px; min-height: 32px; max-width: 100%; flex-wrap: wrap }
input, select, button, textarea { font: inherit; accent-color: var(--blue) }
input[type=range] { width: 190px; height: 28px; margin: 0; cursor: pointer }
input[type=checkbox] { width: 20px; height: 20px; margin: 0 }
select, button, textarea { color: var(--ink); background: var(--paper); border: 1px solid var(--line); border-radius: 6px;
  padding: 4px 10px; max-width: 100% }
textarea { width: 100%; min-height: 84px }
button { cursor: pointer; min-height: 34px } button:disabled { cursor: default; color: var(--grey) }
button[aria-pressed=true] { background: var(--blue); color: var(--onblue); border-color: var(--blue) }
output { min-width: 2.5em; font-variant-numeric: tabular-nums; font-weight: 600 }
:focus-visible { outline: 3px solid var(--orange); outline-offset: 2px }
svg { display: block; overflow: visible; max-width: 100% } svg text { font-variant-numeric: tabular-nums; fill: var(--ink) }
.choice { display: flex; flex-wrap: wrap; gap: 10px; margin-bottom: 8px }
.choice button { flex: 1 1 240px; min-height: 76px; text-align: left; font-size: 17px }
.side { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: 10px; font-size: 17px }
.side > div { border: 1px solid var(--line); border-radius: 8px; padding: 8px 12px; min-height: 118px }
.side strong { display: block; border-bottom: 4px solid; margin-bottom: 6px } .side small { font-size: 14px }
.tokens { font: 18px/2 ui-monospace, monospace; overflow-wrap: anywhere; max-height: 220px; overflow-y: auto }
.tokens span { color: #000; padding: 2px 1px }
.written { font-size: 19px; line-height: 2.1; min-height: 84px }
.written button { border: 0; border-bottom: 1px solid var(--ink); border-radius: 0; padding: 1px 2px; margin: 0 1px; min-height: 30px }
.written .chosen { border-bottom-width: 4px }
.others div { display: flex; align-items: center; gap: 10px; margin: 3px 0 }
.others button { min-width: 130px; text-align: left } .others i { background: var(--blue); height: 16px }
.said p { border-left: 4px solid; padding-left: 10px; min-height: 48px }
.handle { cursor: grab; touch-action: none } .handle:active { cursor: grabbing }
@media print { .knobs, .try { display: none } }
`;
const pen = document.createElement("canvas").getContext("2d");

function make(tag, attributes = {}, parent = null, text = null) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (text !== null) node.textContent = text;
    if (parent) parent.append(node);
    return node;
}

function unpack(packed) {  // numbers that were packed by `pack`, float32 as they are in the model
    const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
    return new Float32Array(bytes.buffer);
}

function softmax(scores) {
    const most = Math.max(...scores), powers = Array.from(scores, (z) => Math.exp(z - most));
    const total = powers.reduce((sum, power) => sum + power, 0);
    return powers.map((power) => power / total);
}

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const signed = (value, digits = 2) => (Math.abs(value) < 0.5 * 10 ** -digits ? 0 : value).toFixed(digits).replace("-", "−");
const percent = (share) => share > 1e-9 && share < 0.001 ? "<0.1%" : `${(100 * share).toFixed(1)}%`;

class Live {
    constructor(host, data) {
        Object.assign(this, { host, data, W: 0, painter: null });
        host.dataset.lmSuppressShortcuts = "true";  // no shortcut of JupyterLab acts while a control has the focus
        const root = host.attachShadow({ mode: "open" });
        make("style", {}, root, STYLE);
        this.card = make("div", { class: "live" }, root);
        this.title = make("h4", {}, this.card, data.title);
        this.knobs = make("div", { class: "knobs" }, this.card);
        this.box = make("div", { role: "group", "aria-label": data.alt }, this.card);
        this.box.innerHTML = "<svg><g></g><g></g></svg>";
        this.svg = this.box.firstChild;
        [this.layer, this.handles] = this.svg.children;
        this.below = make("div", {}, this.card);
        this.status = make("p", { role: "status" }, this.card);
        make("p", { class: "try" }, this.card, data.hint);
        for (const kind of ["keydown", "keyup"]) root.addEventListener(kind, (event) => {  // slides turn by their own keys
            if (!/^(Page|Escape|Tab|F\d)/.test(event.key)) event.stopPropagation();
        });
        const follow = () => {
            const dark = this.behind() < 0.3;
            if (dark === this.card.classList.contains("dark")) return;
            this.card.classList.toggle("dark", dark);
            this.update();
        };
        follow();
        const later = new MutationObserver(() => { follow(); setTimeout(follow, 300); });
        for (const node of [document.documentElement, document.body]) later.observe(node, { attributes: true });
        matchMedia("(prefers-color-scheme: dark)").addEventListener("change", follow);
        new ResizeObserver(() => { follow(); if (this.box.clientWidth !== this.W) this.update(); }).observe(this.card);
    }

    behind() {  // how light the page is behind the card, 0 to 1
        for (let node = this.host; node; node = node.parentElement) {
            const channels = (getComputedStyle(node).backgroundColor.match(/[\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
            if ((channels[3] ?? 1) > 0) return (0.3 * channels[0] + 0.6 * channels[1] + 0.1 * channels[2]) / 255;
        }
        return 1;
    }

    // --- knobs: each has a `value`, and draws anew when it is turned ---

    knob(name, input, form, event = "input", read = () => input.value, where = this.knobs) {
        const label = make("label", {}, where);
        if (input.type !== "checkbox") label.append(name, input); else label.append(input, name);
        const output = form ? make("output", {}, label) : null;
        const knob = { input, label, show: () => { if (output) output.textContent = form(read()); } };
        Object.defineProperty(knob, "value", {
            get: read,
            set: (value) => { input[input.type === "checkbox" ? "checked" : "value"] = value; knob.show(); },
        });
        input.addEventListener(event, () => { knob.show(); this.update(knob); });
        knob.show();
        return knob;
    }

    slider(name, [min, max, step, value], form = String) {
        const input = make("input", { type: "range", min, max, step, value });
        return this.knob(name, input, form, "input", () => Number(input.value));
    }

    menu(name, options) {
        const input = make("select");
        options.forEach((option, i) => make("option", { value: i }, input, option));
        return this.knob(name, input, null, "input", () => Number(input.value));
    }

    tick(name, on) {
        const input = make("input", { type: "checkbox" });
        input.checked = on;
        return this.knob(name, input, null, "input", () => input.checked);
    }

    button(name, act) {
        const button = make("button", { type: "button" }, this.knobs, name);
        button.addEventListener("click", () => { act(); this.update(); });
        return button;
    }

    // --- drawing, in pixels of the page ---

    paint(painter) {
        this.painter = painter;
        this.update();
    }

    update(turned = null) {
        this.W = this.box.clientWidth;
        if (!this.painter || !this.W) return;
        this.layer.replaceChildren();
        this.painter(turned);
    }

    // A lying bar with its name before and its value behind; low: the share at the left end, where it is below 0.
    row(y, name, share, { colour = "var(--blue)", left = 130, right = 70, tall = 18, said = percent(share), low = 0 } = {}) {
        const room = this.W - left - right, zero = left + room * -low / (1 - low), end = left + room * (share - low) / (1 - low);
        if (name) this.text(left - 8, y + tall - 4, this.short(name, left - 10), { anchor: "end" });
        this.bar(Math.min(zero, end), y, Math.abs(end - zero), tall, colour);
        this.line(zero, y - 3, zero, y + tall + 3);
        this.text(Math.max(zero, end) + 6, y + tall - 4, said);
    }

    height(pixels) {
        this.svg.setAttribute("width", this.W);
        this.svg.setAttribute("height", pixels);
    }

    shape(tag, attributes, text = null, parent = this.layer) {
        const node = document.createElementNS(this.svg.namespaceURI, tag);
        for (const [name, value] of Object.entries(attributes)) {
            if (/^(fill|stroke)$/.test(name)) node.style[name] = value; else node.setAttribute(name, value);
        }
        if (text !== null) node.textContent = text;
        parent.append(node);
        return node;
    }

    bar(x, y, width, height, fill = "var(--blue)") {
        return this.shape("rect", { x, y, width: Math.max(0, width), height: Math.max(0, height), fill });
    }

    line(x1, y1, x2, y2, stroke = "var(--line)", width = 1, more = {}) {
        return this.shape("line", { x1, y1, x2, y2, stroke, "stroke-width": width, ...more });
    }

    text(x, y, text, { anchor = "start", size = 15, weight = 400, ...more } = {}) {
        return this.shape("text", { x, y, "text-anchor": anchor, "font-size": size, "font-weight": weight, ...more }, text);
    }

    wide(text, size = 15) {  // pixels that a text takes
        pen.font = `${size}px system-ui, sans-serif`;
        return pen.measureText(text).width;
    }

    short(text, room, size = 15) {
        while (text.length > 1 && this.wide(text, size) > room) text = text.slice(0, text.endsWith("…") ? -2 : -1) + "…";
        return text;
    }

    // Something to drag, or to move by the arrow keys. move(x, y): pixels of the drawing; step(dx, dy): of one key each.
    handle(name, move, step) {
        const group = this.shape("g", { class: "handle", tabindex: 0, role: "slider", "aria-label": name }, null, this.handles);
        this.shape("circle", { r: 22, fill: "transparent" }, null, group);
        let held = false;
        group.addEventListener("pointerdown", (event) => {
            held = true;
            group.setPointerCapture(event.pointerId);
            group.focus();
            event.preventDefault();
        });
        group.addEventListener("pointermove", (event) => {
            if (!held) return;
            const frame = this.svg.getBoundingClientRect(), scale = this.W / frame.width;
            move((event.clientX - frame.left) * scale, (event.clientY - frame.top) * scale);
            this.update();
        });
        for (const kind of ["pointerup", "pointercancel"]) group.addEventListener(kind, () => { held = false; });
        group.addEventListener("keydown", (event) => {
            const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
            if (!arrow) return;
            event.preventDefault();
            step(...arrow);
            this.update();
        });
        group.place = (x, y, said, now = 0) => {
            group.setAttribute("transform", `translate(${x} ${y})`);
            group.setAttribute("aria-valuetext", said);
            group.setAttribute("aria-valuenow", now);
        };
        return group;
    }

    say(text) {
        this.status.textContent = text;
    }

    show(numbers) {  // for programs that look at the piece, such as the tests
        this.host.numbers = numbers;
    }
}

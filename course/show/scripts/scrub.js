// A run to scrub through: what was measured at each step, and what the model said then.
function piece(live) {
    const { steps, panels, said, xlabel, names } = live.data, last = steps.length - 1;
    const at = live.slider(xlabel, [0, last, 1, 0], (i) => steps[i]);
    at.input.style.width = live.box.clientWidth > 480 ? "400px" : "190px";
    live.below.className = "said";
    const COLOURS = ["var(--blue)", "var(--orange)", "var(--green)"], DASHES = ["none", "9 5", "2 6"];

    live.paint(() => {
        const here = at.value, columns = live.W > 560 ? panels.length : 1, wide = live.W / columns, tall = 218;
        live.height(tall * Math.ceil(panels.length / columns) + 10);
        panels.forEach(({ title, series, limits: [low, high] }, n) => {
            const left = (n % columns) * wide + 50, right = (n % columns + 1) * wide - 14;
            const top = Math.floor(n / columns) * tall + 54, bottom = top + 128;
            const px = (i) => left + (steps[i] - steps[0]) / (steps[last] - steps[0] || 1) * (right - left);
            const py = (y) => bottom - (y - low) / (high - low) * (bottom - top);
            live.text(left - 46, top - 34, title, { weight: 700 });
            [low, (low + high) / 2, high].forEach((tick) => {
                live.line(left, py(tick), right, py(tick), "var(--soft)");
                live.text(left - 6, py(tick) + 5, signed(tick, high - low > 4 ? 0 : 1), { anchor: "end", size: 14 });
            });
            [0, last].forEach((i) => live.text(px(i), bottom + 20, String(steps[i]), { anchor: i ? "end" : "start", size: 14 }));
            live.line(px(here), top, px(here), bottom, "var(--ink)", 2);
            series.forEach((ys, i) => {
                const point = (y, j) => `${j ? "L" : "M"} ${px(j).toFixed(1)} ${py(y).toFixed(1)}`;
                const path = (to, width, opacity) => live.shape("path", { d: ys.slice(0, to).map(point).join(" "),
                    fill: "none", stroke: COLOURS[i], "stroke-width": width, "stroke-dasharray": DASHES[i], opacity });
                path(steps.length, 1.5, 0.45);
                path(here + 1, 3.5, 1);
                live.shape("circle", { cx: px(here), cy: py(ys[here]), r: 6, fill: COLOURS[i], stroke: "var(--ink)" });
                const start = left - 46 + i * 110;
                live.line(start, top - 18, start + 26, top - 18, COLOURS[i], 4, { "stroke-dasharray": DASHES[i] });
                live.text(start + 32, top - 13, signed(ys[here]), { size: 14 });
            });
        });
        live.below.replaceChildren();
        said[here].forEach((text, i) => {
            const line = make("p", { style: `border-color: ${COLOURS[i]}; border-left-style: ${i ? "dashed" : "solid"}` }, live.below);
            make("strong", {}, line, `${names[i]}: `);
            line.append(text);
        });
        live.show({ at: steps[here], values: panels.map(({ series }) => series.map((ys) => ys[here])) });
    });
}

// Curves or lying bars for every setting of the knobs. All numbers were computed by the library; here they are only drawn.
function piece(live) {
    const { knobs, frames, kind, names, x, labels, xlabel, ylabel, limits, form } = live.data;
    const turned = knobs.map(([name, values, first, sort]) => {
        if (sort === "tick") return [live.tick(name, first === 1), (knob) => Number(knob.value)];
        if (sort === "menu") return [live.menu(name, values), (knob) => knob.value];
        return [live.slider(name, [0, values.length - 1, 1, first], (at) => values[at]), (knob) => knob.value];
    });
    const COLOURS = ["var(--blue)", "var(--orange)", "var(--green)", "var(--red)"], DASHES = ["none", "9 5", "2 6", "12 4 2 4"];
    const [low, high] = limits, said = (value) => form === "%" ? percent(value) : signed(value, form);

    function legend(y) {
        let at = 8;
        if (names.length > 1) names.forEach((name, i) => {
            if (at + 40 + live.wide(name) > live.W) [at, y] = [8, y + 22];
            const [thick, dash] = kind === "bars" ? [12, "none"] : [4, DASHES[i]];
            live.line(at, y - 5, at + 28, y - 5, COLOURS[i], thick, { "stroke-dasharray": dash });
            live.text(at + 34, y, name);
            at += 54 + live.wide(name);
        });
        return names.length > 1 ? y + 12 : 4;
    }

    function ticks(low, high, most) {
        const raw = (high - low) / most, power = 10 ** Math.floor(Math.log10(raw));
        const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw), found = [];
        for (let tick = Math.ceil(low / step - 1e-9) * step; tick <= high + 1e-9; tick += step) found.push(tick);
        return [found, Math.max(0, -Math.floor(Math.log10(step) + 1e-9))];
    }

    function curves(series) {
        const top = legend(16) + 22, left = 58, right = live.W - 14, bottom = top + 230;
        live.height(bottom + 46);
        const px = (value) => left + (value - x[0]) / (x[x.length - 1] - x[0]) * (right - left);
        const py = (value) => bottom - (value - low) / (high - low) * (bottom - top);
        const [across, digits] = ticks(x[0], x[x.length - 1], live.W > 480 ? 8 : 4), [up, places] = ticks(low, high, 5);
        up.forEach((tick) => {
            live.line(left, py(tick), right, py(tick), "var(--soft)");
            const name = form === "%" ? `${Math.round(100 * tick)}%` : signed(tick, places);
            live.text(left - 8, py(tick) + 5, name, { anchor: "end", size: 14 });
        });
        across.forEach((tick) => live.text(px(tick), bottom + 20, signed(tick, digits), { anchor: "middle", size: 14 }));
        live.line(left, bottom, right, bottom);
        live.text(4, top - 10, ylabel, { size: 14 });
        live.text((left + right) / 2, bottom + 40, xlabel, { anchor: "middle", size: 14 });
        series.forEach((ys, i) => {
            const d = ys.map((y, j) => `${j ? "L" : "M"} ${px(x[j]).toFixed(1)} ${py(y).toFixed(1)}`).join(" ");
            live.shape("path", { d, fill: "none", stroke: COLOURS[i], "stroke-width": 3.5, "stroke-dasharray": DASHES[i] });
        });
    }

    function bars(series) {
        const left = clamp(12 + Math.max(...labels.map((label) => live.wide(label))), 40, 0.4 * live.W);
        const tall = series.length > 2 ? 14 : 18, each = tall * series.length + 10;
        let y = legend(16) + 22;
        live.text(left, y - 8, ylabel, { size: 14 });
        live.height(y + each * labels.length);
        labels.forEach((label, j) => {
            series.forEach((values, i) => live.row(y + i * tall, i ? "" : label, values[j] / high,
                { colour: COLOURS[i], left, tall: tall - 2, said: said(values[j]), low: low / high }));
            y += each;
        });
    }

    live.paint(() => {
        let at = 0;
        turned.forEach(([knob, read], i) => { at = at * knobs[i][1].length + read(knob); });
        const [title, series] = frames[at];
        live.title.textContent = title;
        (kind === "bars" ? bars : curves)(series);
        live.show({ at, series });
    });
}

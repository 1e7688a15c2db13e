// Who looks at whom in every head, as arcs; heads can be switched off, and the model's next token follows.
function piece(live) {
    const { tokens, layers, heads, next } = live.data, T = tokens.length, weights = unpack(live.data.weights);
    const COLOURS = ["var(--blue)", "var(--orange)", "var(--green)", "var(--purple)", "var(--red)", "var(--sky)"];
    const DASHES = ["none", "10 4", "3 4", "12 4 3 4"], EDGES = ["solid", "dashed", "dotted", "dashed"];
    const layer = live.menu("layer", Array.from({ length: layers }, (_, i) => String(i)));
    layer.value = live.data.layer;
    const from = live.slider("the token that looks", [0, T - 1, 1, T - 1], (at) => tokens[at]);
    const ticks = Array.from({ length: heads }, (_, h) => live.tick(`head ${h}`, true));
    ticks.forEach((tick, h) => { tick.label.style.borderBottom = `4px ${EDGES[h % 4]} ${COLOURS[h % 6]}`; });

    live.paint(() => {
        const L = layer.value, on = ticks.map((tick) => tick.value), off = on.reduce((sum, there, h) => sum + (there ? 0 : 1 << h), 0);
        const beside = live.W > 600, each = 26, left = clamp(14 + Math.max(...tokens.map((token) => live.wide(token))), 50, 150);
        const room = beside ? live.W - 330 - left - 90 : live.W - left - 70, bars = beside ? 0 : T * each + 40;
        live.height(beside ? Math.max(T * each + 10, 210) : bars + 170);
        const looks = tokens.map((_, s) => ticks.map((_, h) => weights[((L * heads + h) * T + from.value) * T + s]));
        tokens.forEach((token, s) => {
            const y = s * each + 14, mine = s === from.value, fill = mine ? "var(--soft)" : "transparent";
            const share = looks[s].reduce((sum, w, h) => sum + (on[h] ? w : 0), 0) / Math.max(1, on.filter(Boolean).length);
            const ground = live.shape("rect", { x: 0, y: y - 13, width: left, height: each - 2, rx: 4, fill });
            const word = live.text(left - 6, y + 5, token, { anchor: "end", weight: mine ? 700 : 400 });
            for (const node of [ground, word]) {
                node.style.cursor = "pointer";
                node.addEventListener("click", () => { from.value = s; live.update(); });
            }
            if (s <= from.value) live.text(left + room + 54, y + 5, percent(share), { anchor: "end", size: 14 });
        });
        looks.forEach((row, s) => row.forEach((weight, h) => {
            if (!on[h] || weight < 0.02) return;
            const x = left + 4, loop = s === from.value ? 5 : 0;  // an arc to itself begins above and ends below
            const y0 = from.value * each + 14 - loop, y1 = s * each + 14 + loop, far = Math.abs(from.value - s) / T;
            const reach = loop ? x + 40 + 9 * h : x + (0.25 + 0.75 * far) * room * (0.75 + 0.08 * h);
            live.shape("path", {
                d: `M ${x} ${y0} C ${reach} ${y0 - loop} ${reach} ${y1 + loop} ${x} ${y1}`, fill: "none", opacity: 0.85,
                stroke: COLOURS[h % 6], "stroke-width": 1 + 9 * weight, "stroke-dasharray": DASHES[h % 4],
            });
        }));
        const found = next[L][off], start = beside ? live.W - 250 : 90;
        const without = on.flatMap((there, h) => there ? [] : [`head ${h}`]).join(", ");
        const title = `What comes next, ${without ? `without ${without}` : "with all heads"}`;
        live.text(beside ? live.W - 330 : 0, bars + 14, title, { size: 14 });
        found.forEach(([token, share], i) => {
            live.row(bars + 24 + i * 28, token, share, { left: start, right: 66, colour: i ? "var(--grey)" : "var(--blue)" });
        });
        live.say(`Layer ${L}: “${tokens[from.value]}” looks back. The numbers on the right: the mean of its heads that are on.`);
        live.show({ looks, next: found });
    });
}

// Who looks at whom in every head, as arcs; heads can be switched off, and the model's next token follows.
function piece(live) {
    const { tokens, layers, heads, next } = live.data, T = tokens.length, weights = unpack(live.data.weights);
    const COLOURS = ["var(--blue)", "var(--orange)", "var(--green)", "var(--purple)", "var(--red)", "var(--sky)"], DASHES = ["none", "10 4", "3 4", "12 4 3 4"];
    const layer = live.menu("layer", Array.from({ length: layers }, (_, i) => String(i)));
    layer.value = live.data.layer;
    const from = live.slider("the token that looks", [0, T - 1, 1, T - 1], (at) => tokens[at]);
    const ticks = Array.from({ length: heads }, (_, h) => live.tick(`head ${h}`, true));
    ticks.forEach((tick, h) => { tick.label.style.borderBottom = `4px ${["solid", "dashed", "dotted", "dashed"][h % 4]} ${COLOURS[h % 6]}`; });

    live.paint(() => {
        const L = layer.value, on = ticks.map((tick) => tick.value), off = on.reduce((sum, there, h) => sum + (there ? 0 : 1 << h), 0);
        const beside = live.W > 600, each = 26, left = clamp(14 + Math.max(...tokens.map((token) => live.wide(token))), 50, 150);
        const room = beside ? live.W - 330 - left - 60 : live.W - left - 70, bars = beside ? 0 : T * each + 40;
        live.height(beside ? Math.max(T * each + 10, 210) : bars + 170);
        const looks = tokens.map((_, s) => ticks.map((_, h) => weights[((L * heads + h) * T + from.value) * T + s]));
        tokens.forEach((token, s) => {
            const y = s * each + 14, mine = s === from.value, share = looks[s].reduce((sum, w, h) => sum + (on[h] ? w : 0), 0) / Math.max(1, on.filter(Boolean).length);
            const ground = live.shape("rect", { x: 0, y: y - 13, width: left, height: each - 2, rx: 4, fill: mine ? "var(--soft)" : "transparent" });
            const word = live.text(left - 6, y + 5, token, { anchor: "end", weight: mine ? 700 : 400 });
            for (const node of [ground, word]) {
                node.style.cursor = "pointer";
                node.addEventListener("click", () => { from.value = s; live.update(); });
            }
            if (s <= from.value) live.text(left + room + 54, y + 5, percent(share), { anchor: "end", size: 14 });
        });
        looks.forEach((row, s) => row.forEach((weight, h) => {
            if (!on[h] || weight < 0.02) return;
            const y0 = from.value * each + 14, y1 = s * each + 14, x = left + 4, reach = x + (0.25 + 0.75 * Math.abs(from.value - s) / T) * room * (0.75 + 0.08 * h);
            const d = s === from.value ? `M ${x} ${y0 - 5} C ${x + 40 + 9 * h} ${y0 - 12} ${x + 40 + 9 * h} ${y0 + 12} ${x} ${y0 + 5}` : `M ${x} ${y0} C ${reach} ${y0} ${reach} ${y1} ${x} ${y1}`;
            live.shape("path", { d, fill: "none", stroke: COLOURS[h % 6], "stroke-width": 1 + 9 * weight, "stroke-dasharray": DASHES[h % 4], opacity: 0.85 });
        }));
        const found = next[L][off], start = beside ? live.W - 250 : 90;
        live.text(beside ? live.W - 330 : 0, bars + 14, off ? `What comes next, without ${ticks.map((_, h) => h).filter((h) => !on[h]).map((h) => `head ${h}`).join(", ")}` : "What comes next, with all heads", { size: 14 });
        found.forEach(([token, share], i) => live.row(bars + 24 + i * 28, token, share, { left: start, right: 66, colour: i ? "var(--grey)" : "var(--blue)" }));
        live.say(`Layer ${L}: “${tokens[from.value]}” looks back. The numbers on the right: the mean of its heads that are on.`);
        live.show({ looks, next: found });
    });
}

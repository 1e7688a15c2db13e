// Rotary positions: each pair of numbers is the hand of a clock, turned by place · θ. course.attention.rotate
function piece(live) {
    const { q, k, theta, first, most } = live.data, pairs = theta.length;
    const pair = (x, i) => [Math.hypot(x[i], x[i + pairs]), Math.atan2(x[i + pairs], x[i])];
    const m = live.slider("query at place", [0, most, 1, first[0]]);
    const n = live.slider("key at place", [0, most, 1, first[1]]);
    const together = live.tick("keep the distance", false);
    let distance = m.value - n.value;
    const largest = Math.max(...theta.flatMap((_, i) => [pair(q, i)[0], pair(k, i)[0]]));
    const limits = theta.map((_, i) => pair(q, i)[0] * pair(k, i)[0]), widest = Math.max(...limits);
    const limit = limits.reduce((a, b) => a + b, 0);

    live.paint((turned) => {
        if (together.value && turned === m) n.value = clamp(m.value - distance, 0, most);
        if (together.value && turned === n) m.value = clamp(n.value + distance, 0, most);
        if (together.value && turned === m) m.value = n.value + distance;
        if (together.value && turned === n) n.value = m.value - distance;
        distance = m.value - n.value;
        const columns = live.W > 560 ? pairs : Math.ceil(pairs / 2), rows = Math.ceil(pairs / columns);
        const cell = live.W / columns, R = Math.min(70, cell / 2 - 12), tall = 2 * R + 96;
        live.height(rows * tall + 78);
        const parts = theta.map((angle, i) => {
            const x = (i % columns + 0.5) * cell, y = Math.floor(i / columns) * tall + R + 30;
            const [a, own] = pair(q, i), [b, its] = pair(k, i);
            const part = a * b * Math.cos(own + m.value * angle - its - n.value * angle);
            live.text(x, y - R - 10, `pair ${i}: turns ${Number(angle.toPrecision(2))}`, { anchor: "middle", size: 14 });
            live.shape("circle", { cx: x, cy: y, r: R, fill: "none", stroke: "var(--line)" });
            const hand = (size, turn, colour, dash) => live.line(x, y, x + R * size / largest * Math.cos(turn),
                y - R * size / largest * Math.sin(turn), colour, 5, { "stroke-linecap": "round", "stroke-dasharray": dash });
            hand(b, its + n.value * angle, "var(--orange)", "2 8");
            hand(a, own + m.value * angle, "var(--blue)", "none");
            const half = cell / 2 - 16;
            live.line(x, y + R + 10, x, y + R + 30);
            live.bar(Math.min(x, x + half * part / widest), y + R + 13, Math.abs(half * part / widest), 14, "var(--green)");
            live.text(x, y + R + 48, signed(part), { anchor: "middle" });
            return part;
        });
        const score = parts.reduce((a, b) => a + b, 0), y = rows * tall + 14, half = live.W / 2 - 10, middle = live.W / 2;
        live.text(0, y, `Score, the sum: ${signed(score)}`, { weight: 700 });
        live.bar(Math.min(middle, middle + half * score / limit), y + 10, Math.abs(half * score / limit), 22, "var(--green)");
        live.line(middle, y + 6, middle, y + 36, "var(--ink)", 2);
        for (const [x, value, anchor] of [[10, -limit, "start"], [middle, 0, "middle"], [live.W - 10, limit, "end"]]) {
            live.text(x, y + 54, signed(value, 1), { anchor, size: 14 });
        }
        live.say(`Query at ${m.value}, key at ${n.value}: distance ${distance}, score ${signed(score)}.`);
        live.show({ m: m.value, n: n.value, parts, score });
    });
}

// The glass model: every vector of a sentence, after each block, and what the output layer reads in it (logit lens).
function piece(live) {
    const { tokens, heights, width, lens } = live.data, T = tokens.length, vectors = unpack(live.data.vectors);
    const most = [...Array(heights).keys()].map((h) => Math.max(...vectors.slice(h * T * width, (h + 1) * T * width).map(Math.abs)));
    let t = T - 1, height = heights - 1, box = null;
    const go = (row, column) => [t, height] = [clamp(row, 0, T - 1), clamp(column, 0, heights - 1)];
    const cell = live.handle("token and number of blocks",
        (x, y) => go(Math.floor(y / box.tall) - 1, Math.floor((x - box.left) / box.wide)),
        (dx, dy) => go(t - dy, height + dx));
    const frame = live.shape("rect", { rx: 4, fill: "transparent", stroke: "var(--red)", "stroke-width": 4 }, null, cell);

    live.paint(() => {
        const left = clamp(16 + Math.max(...tokens.map((token) => live.wide(token))), 50, 130), tall = 26;
        box = { left, tall, wide: (live.W - left) / heights };
        const below = (T + 1) * tall + 26, columns = 32, size = live.W / columns, strip = Math.ceil(width / columns) * 16;
        live.height(below + strip + 36 + 5 * 26);
        for (let h = 0; h < heights; h++) {
            const name = live.W < 560 ? String(h) : h === 0 ? "0 blocks" : h === 1 ? "1 block" : `${h} blocks`;
            live.text(left + (h + 0.5) * box.wide, 17, name, { anchor: "middle", size: 14 });
        }
        tokens.forEach((token, s) => {
            const y = (s + 1) * tall;
            live.text(left - 8, y + 18, token, { anchor: "end", weight: s === t ? 700 : 400 });
            for (let h = 0; h < heights; h++) {
                const [said, share] = lens[h][s][0], x = left + h * box.wide;
                live.bar(x + 2, y + 2, box.wide - 4, tall - 4, "var(--soft)");
                live.bar(x + 2, y + tall - 6, (box.wide - 4) * share, 4, "var(--blue)");
                if (box.wide > 60) live.text(x + 8, y + 17, live.short(said, box.wide - 14, 14), { size: 14 });
                const target = live.shape("rect", { x, y, width: box.wide, height: tall, fill: "transparent" });
                target.addEventListener("click", () => { [t, height] = [s, h]; live.update(); });
            }
        });
        const [x, y] = [left + height * box.wide, (t + 1) * tall];
        const around = { x: -box.wide / 2, y: -tall / 2, width: box.wide, height: tall };
        for (const [name, value] of Object.entries(around)) frame.setAttribute(name, value);
        cell.place(x + box.wide / 2, y + tall / 2, `“${tokens[t]}”, blocks done: ${height}`, height);
        const start = (height * T + t) * width, vector = vectors.slice(start, start + width);
        live.text(0, below - 8, `Its ${width} numbers (blue: above 0)`, { size: 14 });
        vector.forEach((value, i) => {
            const [x, y] = [(i % columns) * size, below + Math.floor(i / columns) * 16];
            const bar = live.bar(x, y, size - 1, 15, value > 0 ? "var(--blue)" : "var(--orange)");
            bar.setAttribute("opacity", Math.min(1, Math.sqrt(Math.abs(value) / most[height])).toFixed(2));
        });
        live.text(0, below + strip + 18, "What the output layer reads in it", { size: 14 });
        lens[height][t].forEach(([said, share], i) => {
            live.row(below + strip + 28 + i * 26, said, share, { colour: i ? "var(--grey)" : "var(--blue)" });
        });
        live.say(`“${tokens[t]}” after ${height} of ${heights - 1} blocks.`);
        live.show({ t, height, vector: Array.from(vector), lens: lens[height][t] });
    });
}

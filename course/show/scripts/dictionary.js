// The soft dictionary: softmax of the dot products of a wish with the keys, and the mean of the values that it makes.
function piece(live) {
    const { names, values, axes, unit } = live.data, LOW = -1, HIGH = 4;
    const keys = live.data.keys.map((key) => [...key]), wish = [...live.data.wish];
    const lowest = Math.min(...values), highest = Math.max(...values);
    let P = 0;
    const px = (x) => 30 + (x - LOW) / (HIGH - LOW) * (P - 40), py = (y) => P - 30 - (y - LOW) / (HIGH - LOW) * (P - 40);
    const fit = (value) => clamp(Math.round(10 * value) / 10, LOW, HIGH);
    const place = (point) => (x, y) => {
        point[0] = fit(LOW + (x - 30) / (P - 40) * (HIGH - LOW));
        point[1] = fit(LOW + (P - 30 - y) / (P - 40) * (HIGH - LOW));
    };
    const step = (point) => (dx, dy) => { point[0] = fit(point[0] + dx / 10); point[1] = fit(point[1] + dy / 10); };
    const marks = keys.map((key, i) => {
        const mark = live.handle(names[i], place(key), step(key));
        live.shape("rect", { x: -8, y: -8, width: 16, height: 16, fill: "var(--orange)", stroke: "var(--ink)" }, null, mark);
        live.shape("text", { x: 14, y: -10, "font-size": 15 }, names[i], mark);
        return mark;
    });
    const ours = live.handle("the wish", place(wish), step(wish));
    live.shape("circle", { r: 11, fill: "var(--blue)", stroke: "var(--ink)" }, null, ours);
    live.shape("text", { x: -14, y: 26, "font-size": 15, "font-weight": 700 }, "wish", ours);

    live.paint(() => {
        const beside = live.W > 560;
        P = Math.min(340, live.W);
        live.height(beside ? P : P + 60 + 34 * keys.length + 90);
        for (let tick = LOW; tick <= HIGH; tick++) {
            live.line(px(tick), py(LOW), px(tick), py(HIGH), tick ? "var(--soft)" : "var(--line)");
            live.line(px(LOW), py(tick), px(HIGH), py(tick), tick ? "var(--soft)" : "var(--line)");
            live.text(px(tick), P - 12, signed(tick, 0), { anchor: "middle", size: 14 });
            live.text(22, py(tick) + 5, signed(tick, 0), { anchor: "end", size: 14 });
        }
        live.text(px(HIGH), py(LOW) - 6, `${axes[0]} →`, { anchor: "end", size: 14 });
        live.text(px(LOW) + 4, py(HIGH) + 14, `↑ ${axes[1]}`, { size: 14 });
        live.line(px(0), py(0), px(wish[0]), py(wish[1]), "var(--blue)", 4);
        const scores = keys.map((key) => key[0] * wish[0] + key[1] * wish[1]), weights = softmax(scores);
        const answer = weights.reduce((sum, weight, i) => sum + weight * values[i], 0);
        const left = beside ? P + 110 : 90, top = beside ? 30 : P + 30;
        live.text(beside ? left : 0, top - 10, "weights, which sum to 100%", { size: 14 });
        keys.forEach((key, i) => {
            live.row(top + 34 * i, names[i], weights[i], { left, said: percent(weights[i]) });
            marks[i].place(px(key[0]), py(key[1]), `${axes[0]} ${key[0]}, ${axes[1]} ${key[1]}`);
        });
        ours.place(px(wish[0]), py(wish[1]), `${axes[0]} ${wish[0]}, ${axes[1]} ${wish[1]}`);
        const y = top + 34 * keys.length + 64, room = live.W - left - 40;
        const vx = (value) => left + (value - lowest) / (highest - lowest || 1) * room;
        live.text(left, y - 38, `the answer: ${answer.toFixed(0)} ${unit}`, { weight: 700 });
        live.line(left, y, left + room, y, "var(--line)", 2);
        values.forEach((value) => {
            live.line(vx(value), y - 6, vx(value), y + 6, "var(--line)", 2);
            live.text(vx(value), y + 24, String(value), { anchor: "middle", size: 14 });
        });
        live.shape("circle", { cx: vx(answer), cy: y, r: 9, fill: "var(--green)", stroke: "var(--ink)" });
        live.say(`Wish (${wish.map((x) => signed(x, 1)).join(", ")}): scores ${scores.map((z) => signed(z, 1)).join(", ")}.`);
        live.show({ weights, answer, wish, keys });
    });
}

// Temperature, top-k and top-p over a model's own scores, and the draw. course.generate.next_token_distribution
function piece(live) {
    const { texts, names, first, cut } = live.data, MOST = 10;
    const sets = live.data.logits.map((packed) => {
        const scores = unpack(packed), order = Array.from(scores.keys()).sort((a, b) => scores[b] - scores[a] || a - b);
        return { scores, order };
    });
    const text = live.menu("text", texts);
    const heat = live.slider("temperature", [0.1, 2.5, 0.1, first.temperature], (value) => value.toFixed(1));
    const k = cut ? live.slider("top-k", [1, 100, 1, first.k], (value) => value < 100 ? String(value) : "all") : { value: 100 };
    const p = cut ? live.slider("top-p", [0.05, 1, 0.05, first.p], (value) => value < 1 ? value.toFixed(2) : "all") : { value: 1 };
    let probs = [], dart = null, drawn = new Map(), throws = 0, state = live.data.seed;
    const chance = () => {  // mulberry32, so that a reload gives the same draws
        state = (state + 0x6d2b79f5) | 0;
        let t = Math.imul(state ^ (state >>> 15), 1 | state);
        t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
        return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
    const draw = (times) => () => {
        for (let i = 0; i < times; i++) {
            dart = chance();
            let at = 0, edge = probs[0];
            while (edge <= dart && at < probs.length - 1) edge += probs[++at];
            drawn.set(at, (drawn.get(at) ?? 0) + 1);
            throws++;
        }
    };
    if (cut) {
        live.button("Throw a dart", draw(1));
        live.button("Throw 100", draw(100));
    }

    live.paint((turned) => {
        if (turned) [dart, drawn, throws] = [null, new Map(), 0];
        const { scores, order } = sets[text.value];
        const kept = cut && k.value < 100 ? order.slice(0, k.value) : order;
        probs = softmax(kept.map((id) => scores[id] / heat.value));  // the likeliest first
        if (p.value < 1) {
            let before = 0;
            probs = probs.filter((share) => { const inside = before < p.value; before += share; return inside; });
            const total = probs.reduce((sum, share) => sum + share, 0);
            probs = probs.map((share) => share / total);
        }
        const left = live.W > 480 ? 150 : 96, right = live.W > 480 ? 130 : 100;
        const say = (share, count) => percent(share) + (throws ? `, ${count}×` : "");
        live.height(MOST * 24 + 24 + (cut ? 96 : 4));
        let shown = 0, counted = 0;
        for (let i = 0; i < MOST; i++) {
            const share = probs[i] ?? 0, out = i >= probs.length, count = drawn.get(i) ?? 0;
            live.row(i * 24 + 2, names[order[i]], share, { left, right, said: out ? "cut off" : say(share, count) });
            shown += share;
            counted += count;
        }
        const rest = Math.max(0, 1 - shown);
        live.row(MOST * 24 + 2, "all others", rest, { left, right, said: say(rest, throws - counted), colour: "var(--grey)" });
        const y = MOST * 24 + 58;
        let x = 0;
        if (cut) live.text(0, y - 6, "Each token as wide as its probability", { size: 14 });
        if (cut) [...probs.slice(0, MOST), rest].forEach((share, i) => {
            const colours = ["var(--blue)", "var(--orange)", "var(--green)", "var(--sky)"];
            live.bar(x, y + 8, share * live.W, 24, i === MOST || i >= probs.length ? "var(--grey)" : colours[i % 4]);
            x += share * live.W;
        });
        if (dart !== null) {
            live.shape("path", { d: `M ${dart * live.W} ${y + 34} l -8 16 h 16 z`, fill: "var(--red)", stroke: "var(--ink)" });
        }
        const last = [...drawn.keys()].pop();
        const named = throws === 1 ? ` It fell on “${names[order[last]]}”.` : "";
        live.say(`${probs.length.toLocaleString("en")} tokens can be drawn; those that are not shown hold ${percent(rest)}.` + named);
        live.show({ ids: kept.slice(0, probs.length), probs, throws });
    });
}

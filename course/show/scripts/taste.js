// One's own taste: of two answers the better one is clicked, and Bradley and Terry's model learns what the clicks have in common.
function piece(live) {
    const { pairs, names, decay } = live.data;
    let clicks = [], weights = names.map(() => 0), told = "";  // a click: [pair, is the first better?, was it foreseen?]
    const field = make("div", {}, null);
    live.card.insertBefore(field, live.knobs);
    const sure = (difference) => 1 / (1 + Math.exp(-difference.reduce((sum, d, i) => sum + d * weights[i], 0)));
    const undo = live.button("Undo", () => { clicks.pop(); told = ""; learn(); });
    const again = live.button("Start again", () => { clicks = []; told = ""; learn(); });

    function learn() {  // the weights that make the clicks likeliest, by steps down the slope of −Σ ln σ(w·d) + decay · |w|²
        const chosen = clicks.map(([pair, first]) => pairs[pair].marks.map((mark) => first ? mark : -mark));
        const steep = 2 * decay + chosen.reduce((sum, d) => sum + d.reduce((a, x) => a + x * x, 0), 0) / 4;
        weights = names.map(() => 0);
        for (let step = 0; step < 3000; step++) {
            const slope = weights.map((w) => 2 * decay * w);
            for (const d of chosen) {
                const missing = 1 - sure(d);
                d.forEach((x, i) => { slope[i] -= missing * x; });
            }
            weights = weights.map((w, i) => w - slope[i] / steep);
            if (Math.max(...slope.map(Math.abs)) < 1e-7) break;
        }
    }

    function click(first) {
        const pair = clicks.length, expected = sure(pairs[pair].marks), open = Math.abs(expected - 0.5) < 1e-6;
        told = open ? "It had no idea." : `It had expected this one with ${percent(first ? expected : 1 - expected)}.`;
        clicks.push([pair, first, !open && first === (expected > 0.5)]);
        learn();
        live.update();
    }

    live.paint(() => {
        const done = clicks.length === pairs.length, focused = live.host.shadowRoot.activeElement?.dataset.side;
        undo.disabled = again.disabled = !clicks.length;
        field.replaceChildren();
        if (!done) {
            const { question, answers } = pairs[clicks.length];
            const line = make("p", {}, field, `${clicks.length + 1} of ${pairs.length}. `), row = make("div", { class: "choice" }, field);
            make("strong", {}, line, question);
            answers.forEach((answer, side) => {
                const button = make("button", { type: "button", "data-side": side }, row, answer || "(nothing)");
                button.addEventListener("click", () => click(side === 0));
                if (String(side) === focused) button.focus();
            });
        }
        const largest = 3, half = (live.W > 480 ? 0.36 : 0.24) * live.W, middle = live.W - half - 60;
        const foreseen = clicks.filter((click) => click[2]).length;
        live.height(30 + 30 * names.length);
        live.text(0, 16, "What your clicks taught it to value", { size: 14 });
        names.forEach((name, i) => {
            const y = 28 + 30 * i, reach = clamp(weights[i] / largest, -1, 1) * half;
            live.text(0, y + 15, live.short(name, middle - half - 8));
            live.bar(Math.min(middle, middle + reach), y, Math.abs(reach), 20, weights[i] < 0 ? "var(--orange)" : "var(--blue)");
            live.line(middle, y - 4, middle, y + 24);
            live.text(live.W, y + 15, signed(weights[i], 1), { anchor: "end" });
        });
        live.say(`${told} ${clicks.length} clicks, ${foreseen} foreseen.` + (done ? " That were all." : ""));
        live.show({ weights, clicks, foreseen });
    });
}

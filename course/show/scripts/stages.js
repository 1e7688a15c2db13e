// The same question to several models, their answers side by side.
function piece(live) {
    const { questions, stages } = live.data, last = questions.length - 1;
    const COLOURS = ["var(--grey)", "var(--sky)", "var(--orange)", "var(--green)"];
    const back = live.button("◀ Before", () => { chosen.value -= 1; });
    const on = live.button("Next ▶", () => { chosen.value += 1; });
    const chosen = live.menu("question", questions);
    const grid = make("div", { class: "side" }, live.below);
    live.paint(() => {
        live.height(0);
        back.disabled = chosen.value <= 0;
        on.disabled = chosen.value >= last;
        grid.replaceChildren();
        stages.forEach(([name, answers], i) => {
            const [answer, note] = answers[chosen.value], box = make("div", {}, grid);
            make("strong", { style: `border-color: ${COLOURS[i % 4]}` }, box, name);
            make("div", {}, box, answer || "(nothing)");
            if (note) make("small", {}, box, note);
        });
        live.show({ answers: stages.map(([, answers]) => answers[chosen.value][0]) });
    });
}

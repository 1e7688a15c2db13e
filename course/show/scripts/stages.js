// The same question to several models, their answers side by side.
function piece(live) {
    const { questions, stages } = live.data, last = questions.length - 1;
    const back = live.button("◀ Before", () => { chosen.value -= 1; });
    const on = live.button("Next ▶", () => { chosen.value += 1; });
    const chosen = live.menu("question", questions);
    const grid = make("div", { style: "display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: 10px" }, live.below);
    live.paint(() => {
        live.height(0);
        back.disabled = chosen.value <= 0;
        on.disabled = chosen.value >= last;
        grid.replaceChildren();
        stages.forEach(([name, answers], i) => {
            const [answer, note] = answers[chosen.value], box = make("div", { style: "border: 1px solid var(--line); border-radius: 8px; padding: 8px 12px; min-height: 118px" }, grid);
            make("div", { style: `font-weight: 700; border-bottom: 4px solid ${["var(--grey)", "var(--sky)", "var(--orange)", "var(--green)"][i % 4]}; margin-bottom: 6px` }, box, name);
            make("div", { style: "font-size: 17px" }, box, answer || "(nothing)");
            if (note) make("div", { style: "font-size: 14px; margin-top: 6px" }, box, note);
        });
        live.show({ answers: stages.map(([, answers]) => answers[chosen.value][0]) });
    });
}

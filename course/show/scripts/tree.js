// A text that shows how sure the model was of each token; a click on another token goes on from there.
function piece(live) {
    const { prompt, chains } = live.data;  // a chain: [[token, share, [[token, share, chain or -1], ...]], ...]
    let path = [[0, 0]], chosen = 0;  // which chain is followed, and up to which token before the next one takes over
    const flow = make("p", { style: "font-size: 19px; line-height: 2.1; min-height: 84px" });
    live.card.insertBefore(flow, live.box);
    const again = live.button("From the start", () => { path = [[0, 0]]; chosen = 0; });

    function written() {  // the tokens on the page, each with the chain and the place that it comes from
        return path.flatMap(([chain, start], i) => {
            const end = i + 1 < path.length ? path[i + 1][1] - start : Infinity;
            return chains[chain].slice(0, end).map((token, j) => ({ token, depth: i, place: start + j }));
        });
    }

    live.paint(() => {
        again.disabled = path.length === 1;
        const dark = live.card.classList.contains("dark"), paper = dark ? [30, 30, 30] : [255, 255, 255], most = dark ? 0.4 : 0.9;
        const all = written();
        chosen = clamp(chosen, 0, all.length - 1);
        const focused = live.host.shadowRoot.activeElement?.dataset.place;
        flow.replaceChildren(make("span", {}, null, prompt));
        all.forEach(({ token: [text, share] }, i) => {
            const ground = [230, 159, 0].map((c, j) => Math.round(paper[j] + (c - paper[j]) * most * (1 - share)));
            const button = make("button", { type: "button", "data-place": i, "aria-pressed": "false", "aria-label": `${text}, ${percent(share)}`,
                style: `background: rgb(${ground}); border: 0; border-bottom: ${i === chosen ? 4 : 1}px solid var(--ink); border-radius: 0; padding: 1px 2px; margin: 0 1px; min-height: 30px` }, flow, text);
            const look = () => { if (chosen !== i) { chosen = i; live.update(); } };
            button.addEventListener("pointerenter", look);
            button.addEventListener("focus", look);
            button.addEventListener("click", look);
            button.addEventListener("keydown", (event) => {
                const to = { ArrowLeft: i - 1, ArrowRight: i + 1 }[event.key];
                if (to === undefined) return;
                event.preventDefault();
                flow.querySelector(`[data-place="${to}"]`)?.focus();
            });
            if (String(i) === focused) button.focus();
        });
        const { token: [, , others], depth, place } = all[chosen];
        live.height(20);
        live.text(0, 15, "What could have stood here", { size: 15, weight: 700 });
        live.below.replaceChildren();
        others.forEach(([text, share, chain]) => {
            const row = make("div", { style: "display: flex; align-items: center; gap: 10px; margin: 3px 0" }, live.below);
            const button = make("button", { type: "button", style: "min-width: 130px; text-align: left" }, row, text);
            button.disabled = chain < 0;
            make("span", { style: `background: var(--blue); height: 16px; width: ${(share * 45).toFixed(2)}%` }, row);
            make("span", {}, row, percent(share) + (chain < 0 ? " (not followed)" : chain === path[depth][0] ? " (written)" : ""));
            button.addEventListener("click", () => {
                const begins = depth > 0 && place === path[depth][1], base = path.slice(0, begins ? depth : depth + 1);
                path = chain === base[base.length - 1][0] ? base : [...base, [chain, place]];
                live.update();
            });
        });
        const sure = all.reduce((sum, { token: [, share] }) => sum + Math.log(share), 0);
        live.say(`The model gives this text a probability of ${percent(Math.exp(sure))}.`);
        live.show({ text: all.map(({ token: [text] }) => text), probability: Math.exp(sure) });
    });
}

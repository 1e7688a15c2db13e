// A text that shows how sure the model was of each token; a click on another token goes on from there.
function piece(live) {
    const { prompt, chains } = live.data;  // a chain: [[token, share, [[token, share, chain or -1], ...]], ...]
    let path = [[0, 0]], chosen = 0;  // which chain is followed, and up to which token before the next one takes over
    const flow = make("p", { class: "written" });
    live.card.insertBefore(flow, live.box);
    live.below.className = "others";
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
            const button = make("button", { type: "button", "data-place": i, "aria-label": `${text}, ${percent(share)}` }, flow, text);
            button.style.background = `rgb(${ground})`;
            button.classList.toggle("chosen", i === chosen);
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
            const row = make("div", {}, live.below), button = make("button", { type: "button" }, row, text);
            button.disabled = chain < 0;
            make("i", { style: `width: ${(share * 45).toFixed(2)}%` }, row);
            const note = chain < 0 ? " (not followed)" : chain === path[depth][0] ? " (written)" : "";
            make("span", {}, row, percent(share) + note);
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

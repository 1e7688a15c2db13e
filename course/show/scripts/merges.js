// Byte-pair encoding of one's own text, merge by merge. course.tokenizer.split and learn_merges
function piece(live) {
    const PATTERN = new RegExp(live.data.pattern, "gu"), BYTES = 256, COLOURS = ["#cfe8f7", "#fbe3b5", "#c9ead9", "#f3d3e4"];
    const area = make("textarea", { "aria-label": "your text", maxlength: 2000 });
    area.value = live.data.text;
    live.card.insertBefore(area, live.knobs);
    const slider = live.slider("merges done", [0, live.data.most, 1, live.data.first]);
    const next = live.button("Next merge", () => { slider.value = slider.value + 1; });
    let learned = [], known = null;

    function counted(words) {
        const counts = new Map();
        for (const { ids, times } of words) for (let i = 1; i < ids.length; i++) {
            const key = ids[i - 1] * 65536 + ids[i];
            counts.set(key, (counts.get(key) ?? 0) + times);
        }
        return [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0]);  // of equally frequent ones the smallest ids
    }

    function merge(ids, key, id) {
        const merged = [];
        for (let i = 0; i < ids.length; i++) {
            if (i + 1 < ids.length && ids[i] * 65536 + ids[i + 1] === key) { merged.push(id); i++; } else merged.push(ids[i]);
        }
        return merged;
    }

    function learn(text) {  // every step: the pairs counted, the most frequent one merged
        const pieces = text.match(PATTERN) ?? [], words = new Map();
        for (const piece of pieces) {
            const word = words.get(piece) ?? { ids: [...new TextEncoder().encode(piece)], times: 0 };
            word.times++;
            words.set(piece, word);
        }
        const tokens = Array.from({ length: BYTES }, (_, i) => [i]), steps = [];
        for (let step = 0; step <= live.data.most; step++) {
            const pairs = counted(words.values());
            steps.push({ pairs: pairs.slice(0, 5), words: new Map([...words].map(([piece, { ids }]) => [piece, ids])) });
            if (!pairs.length || pairs[0][1] < 2) break;
            const key = pairs[0][0];
            tokens.push([...tokens[Math.floor(key / 65536)], ...tokens[key % 65536]]);
            for (const word of words.values()) word.ids = merge(word.ids, key, BYTES + step);
        }
        return { pieces, steps, tokens };
    }

    function spelled(bytes) {
        try {
            const text = new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(bytes));
            return text.replaceAll(" ", "·").replaceAll("\n", "⏎");
        } catch { return bytes.map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join(""); }
    }

    live.paint(() => {
        if (area.value !== known) learned = learn(known = area.value);
        const { pieces, steps, tokens } = learned, last = steps.length - 1;
        slider.input.max = Math.max(1, last);
        slider.value = Math.min(slider.value, last);
        next.disabled = slider.value >= last;
        const { pairs, words } = steps[slider.value];
        live.height(pairs.length * 26 + 30);
        live.text(0, 15, "The first pair is merged next", { size: 14 });
        const most = steps[0].pairs[0]?.[1] ?? 1;
        pairs.forEach(([key, count], i) => {
            const name = `${spelled(tokens[Math.floor(key / 65536)])} + ${spelled(tokens[key % 65536])}`;
            live.row(i * 26 + 26, name, count / most, { said: `${count}×`, right: 50, colour: i ? "var(--grey)" : "var(--blue)" });
        });
        live.below.replaceChildren();
        const flow = make("div", { class: "tokens" }, live.below);
        let n = 0;
        for (const piece of pieces) for (const id of words.get(piece)) {
            make("span", { title: `token ${id}`, style: `background: ${COLOURS[n++ % 4]}` }, flow, spelled(tokens[id]));
            flow.append(document.createElement("wbr"));
        }
        const bytes = new TextEncoder().encode(area.value).length;
        const end = next.disabled ? "; no pair occurs twice any more." : ".";
        live.say(`${[...area.value].length} characters, ${bytes} bytes, ${n} tokens${end}`);
        const done = steps.slice(0, slider.value).map(({ pairs: [[key]] }) => [Math.floor(key / 65536), key % 65536]);
        live.show({ tokens: n, ids: pieces.flatMap((piece) => words.get(piece)), merges: done });
    });
    area.addEventListener("input", () => live.update());
}

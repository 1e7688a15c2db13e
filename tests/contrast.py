"""How well the texts of a page can be read, measured in the browser."""

# The contrast of each text with what is behind it (WCAG 2.2, 1.4.3), the worst first: [[ratio, text], ...]; of the
# whole page, or of what is within `root`
CONTRASTS = """(root) => {
    root ??= document.body;
    const channels = (color) => color.match(/[\\d.]+/g).map(Number);
    const light = (color) => channels(color).slice(0, 3).map((v) => v / 255)
        .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = (node) => {
        for (let e = node; e; e = e.parentElement) {
            const color = getComputedStyle(e).backgroundColor;
            if ((channels(color)[3] ?? 1) > 0) return color;
        }
        throw Error("nothing is behind " + node.textContent);
    };
    const found = [];
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const node = walker.currentNode.parentElement, text = walker.currentNode.textContent.trim();
        if (!text || !node.checkVisibility() || node.closest("svg")) continue;
        const [a, b] = [light(getComputedStyle(node).color), light(behind(node))].sort((x, y) => y - x);
        found.push([(a + 0.05) / (b + 0.05), text]);
    }
    for (const text of root.querySelectorAll("svg text")) {
        const bar = text.classList.contains("onbar") ? text.previousElementSibling : null;
        const ground = bar ? getComputedStyle(bar).fill : behind(text.closest("svg"));
        const [a, b] = [light(getComputedStyle(text).fill), light(ground)].sort((x, y) => y - x);
        found.push([(a + 0.05) / (b + 0.05), text.textContent]);
    }
    return found.sort((x, y) => x[0] - y[0]);
}"""

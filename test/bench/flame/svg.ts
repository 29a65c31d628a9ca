import type { Frame, Origin } from './fold.ts'

const [WIDTH, ROW, LETTER, TOP] = [1200, 16, 6.2, 60]
const COLOURS: Record<Origin, string> = { ours: '#f4a259', library: '#8cb369', node: '#7fb7d6', native: '#c9c9c9', kernel: '#e08e8e' }
const LEGEND: Record<Origin, string> = {
  ours: 'this project',
  library: 'libraries',
  node: 'Node.js',
  native: 'V8, OpenSSL, SQLite',
  kernel: 'kernel',
}

/** A flame graph: what was called stands on who called it, as wide as the time that it took. It needs no script; a browser shows names and shares under the pointer. */
export function flameGraph(root: Frame, title: string): string {
  const depth = depthOf(root)
  const height = TOP + depth * ROW + 10
  const shapes: string[] = []
  const draw = (frame: Frame, x: number, level: number): void => {
    const width = (frame.micros / root.micros) * WIDTH
    const y = height - 10 - (level + 1) * ROW
    const share = `${((frame.micros / root.micros) * 100).toFixed(1)} %`
    const text = [...frame.name].slice(0, Math.floor((width - 4) / LETTER)).join('')
    const label = text.length > 2 ? `<text x="${(x + 2).toFixed(1)}" y="${y + 12}">${escaped(text)}</text>` : ''
    const place = frame.place === '' ? '' : `, ${frame.place}`
    shapes.push(
      `<g><title>${escaped(frame.name + place)}: ${share}</title><rect x="${x.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="${ROW - 1}" class="${frame.origin}"/>${label}</g>`,
    )
    let at = x
    for (const child of frame.children) {
      draw(child, at, level + 1)
      at += (child.micros / root.micros) * WIDTH
    }
  }
  draw(root, 0, 0)
  const classes = Object.entries(COLOURS).map(([origin, colour]) => `.${origin}{fill:${colour}}`)
  const legend = (Object.keys(LEGEND) as Origin[]).map(
    (origin, i) =>
      `<rect x="${i * 180}" y="30" width="12" height="12" class="${origin}"/><text x="${i * 180 + 16}" y="40">${LEGEND[origin]}</text>`,
  )
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}">`,
    `<style>text{font:11px monospace;fill:#111}.title{font:bold 14px sans-serif}${classes.join('')}</style>`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/><text x="0" y="18" class="title">${escaped(title)}</text>`,
    ...legend,
    ...shapes,
    '</svg>\n',
  ].join('\n')
}

const depthOf = ({ children }: Frame): number => 1 + Math.max(0, ...children.map(depthOf))

const ENTITIES: Record<string, string> = { '<': '&lt;', '>': '&gt;', '&': '&amp;', '"': '&quot;' }
const escaped = (text: string): string => text.replaceAll(/[<>&"]/g, (letter) => ENTITIES[letter]!)

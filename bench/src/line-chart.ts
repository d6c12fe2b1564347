/** A chart to be drawn as SVG. */
export interface LineChart {
  /** File name without its ending. */
  readonly name: string
  readonly title: string
  readonly x: Axis
  readonly y: Axis
  readonly lines: readonly Line[]
}

interface Axis {
  readonly label: string
  /** Where the axis is marked, and with what; also its range. */
  readonly ticks: readonly (readonly [value: number, label: string])[]
  readonly logarithmic?: boolean
}

export interface Line {
  readonly label: string
  readonly points: readonly (readonly [x: number, y: number])[]
}

const size = { width: 720, height: 400 }
const frame = { left: 70, right: 190, top: 40, bottom: 50 }
const colours = ['#0b6e99', '#d9480f', '#2b8a3e', '#862e9c', '#5f3dc4', '#495057']

export function drawLineChart({ title, x, y, lines }: LineChart): string {
  const across = scale(x, frame.left, size.width - frame.right)
  const up = scale(y, size.height - frame.bottom, frame.top)
  const [left, right] = [frame.left, size.width - frame.right]
  const [top, bottom] = [frame.top, size.height - frame.bottom]
  const parts = [
    text(left, 22, title, 'font-size="15" font-weight="600"'),
    ...y.ticks.flatMap(([value, label]) => [
      `<path d="M${left} ${up(value)}H${right}" stroke="#dee2e6"/>`,
      text(left - 8, up(value) + 4, label, 'text-anchor="end"'),
    ]),
    ...x.ticks.map(([value, label]) => text(across(value), bottom + 18, label, 'text-anchor="middle"')),
    text((left + right) / 2, size.height - 12, x.label, 'text-anchor="middle"'),
    text(
      16,
      (top + bottom) / 2,
      y.label,
      `text-anchor="middle" transform="rotate(-90 16 ${(top + bottom) / 2})"`,
    ),
    ...lines.flatMap(({ label, points }, index) => {
      const colour = colours[index % colours.length]!
      const path = points.map(([px, py]) => `${across(px)} ${up(py)}`).join('L')
      return [
        `<path d="M${path}" fill="none" stroke="${colour}" stroke-width="2"/>`,
        ...points.map(([px, py]) => `<circle cx="${across(px)}" cy="${up(py)}" r="3" fill="${colour}"/>`),
        text(right + 12, top + 14 + index * 20, label, `fill="${colour}"`),
      ]
    }),
  ]
  const { width, height } = size
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12">`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    ...parts,
    '</svg>\n',
  ].join('\n')
}

/** From values to places; what lies outside the ticks is drawn at the edge. */
function scale({ ticks, logarithmic = false }: Axis, from: number, to: number): (value: number) => number {
  const place = logarithmic ? Math.log10 : (value: number) => value
  const values = ticks.map(([value]) => place(value))
  const [low, high] = [Math.min(...values), Math.max(...values)]
  return (value) => {
    const share = Math.min(1, Math.max(0, (place(value) - low) / (high - low)))
    return Math.round((from + share * (to - from)) * 10) / 10
  }
}

function text(x: number, y: number, content: string, attributes: string): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
  return `<text x="${x}" y="${y}" ${attributes}>${escaped}</text>`
}

import { type CpuProfile, foldProfile, ownShares, withoutSmall } from '../../bench/flame/fold.ts'
import { flameGraph } from '../../bench/flame/svg.ts'

const frame = (functionName: string, url = '', lineNumber = -1) => ({ functionName, url, lineNumber })

/** Two calls of one function from one place, idle time, a library, and what is V8's. */
const profile: CpuProfile = {
  nodes: [
    { id: 1, callFrame: frame('(root)'), children: [2, 3, 4, 7] },
    { id: 2, callFrame: frame('judge<A>', 'file:///place/src/core/judge.ts', 9), children: [5] },
    { id: 3, callFrame: frame('(idle)') },
    { id: 4, callFrame: frame('judge<A>', 'file:///place/src/core/judge.ts', 9), children: [6] },
    { id: 5, callFrame: frame('parse', 'file:///place/node_modules/zod/index.js', 0) },
    { id: 6, callFrame: frame('', 'node:internal/buffer', 3) },
    { id: 7, callFrame: frame('(garbage collector)') },
  ],
  samples: [2, 3, 4, 5, 6, 7, 7],
  timeDeltas: [100, 5000, 200, 300, 100, 150, 150],
}

test('calls of one function are one frame, and idle time is left out', () => {
  const whole = foldProfile(profile)
  expect(whole).toMatchObject({ name: 'all', micros: 1000 })
  expect(whole.children.map(({ name, micros, origin, place }) => [name, micros, origin, place])).toEqual([
    ['judge<A>', 700, 'ours', 'src/core/judge.ts:10'],
    ['(garbage collector)', 300, 'v8', ''],
  ])
  expect(whole.children[0]!.children.map(({ name, micros, origin, place }) => [name, micros, origin, place])).toEqual([
    ['parse', 300, 'library', 'node_modules/zod/index.js:1'],
    ['(anonymous)', 100, 'node', 'node:internal/buffer'],
  ])
})

test('time by itself is without that of what was called', () => {
  expect(ownShares(foldProfile(profile)).map(([name, share]) => [name, Number(share.toFixed(3))])).toEqual([
    ['judge<A> (src/core/judge.ts:10)', 0.3],
    ['parse (node_modules/zod/index.js:1)', 0.3],
    ['(garbage collector)', 0.3],
    ['(anonymous) (node:internal/buffer)', 0.1],
    ['all', 0],
  ])
})

test('small frames become one, and what is too small even so is left out', () => {
  const leaf = (name: string, micros: number) => ({ name, place: '', origin: 'ours' as const, micros, children: [] })
  const whole = { ...leaf('all', 1000), children: [leaf('large', 900), ...['a', 'b', 'c'].map((name) => leaf(name, 4)), leaf('inner', 80)] }
  whole.children[4] = { ...whole.children[4]!, children: [leaf('tiny', 1)] } as never
  const drawn = withoutSmall(whole, 0.005)
  expect(drawn.children.map(({ name, micros }) => [name, micros])).toEqual([
    ['large', 900],
    ['inner', 80],
    ['3 others', 12],
  ])
  expect(drawn.children[1]!.children).toEqual([])
})

test('a picture has each frame with its share, names made safe, and labels only where they fit', () => {
  const svg = flameGraph(foldProfile(profile), 'machines & more')
  expect(svg).toContain('<title>judge&lt;A&gt;, src/core/judge.ts:10: 70.0 %</title>')
  expect(svg).toContain('machines &amp; more')
  expect(svg.match(/<g><title>/g)).toHaveLength(5)
  expect(svg).toMatch(/class="library"\/><text [^>]+>parse<\/text>/)
  const small = flameGraph(foldProfile({ ...profile, timeDeltas: [1e7, 0, 0, 1, 0, 0, 0] }), 'x')
  expect(small).not.toMatch(/<text [^>]+>parse<\/text>/)
})

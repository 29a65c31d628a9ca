import { type CpuProfile, foldProfile, ownShares, withoutSmall } from '../../bench/flame/fold.ts'
import { foldPerf, latestOf } from '../../bench/flame/perf.ts'
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
    ['(garbage collector)', 300, 'native', ''],
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

/** Of `perf script`, the innermost frame first. */
const sample = (thread: string, ...frames: string[]) =>
  `${thread} 4242  2335.657378:    1000000 cpu-clock:ppp: \n${frames.map((frame) => `\t    7f0d22fd5208 ${frame}`).join('\n')}\n\n`
const NODE = '(/place/bin/node)'
const BOTTOM = [
  `v8::Function::Call+0x177 ${NODE}`,
  `node::Environment::RunTimers+0x1c6 ${NODE}`,
  `uv_run+0x40a ${NODE}`,
  `__libc_start_call_main+0x7a (/usr/lib/libc.so.6)`,
]
const START = "JS:+'start file:///place/src/io/scheduler.ts:54:17+0x5c8 (/tmp/perf-4242.map)"

test('stacks of perf lead from the thread to what it does, without the ways between', () => {
  const text = [
    sample(
      'keylime verifie',
      `sha256_block+0x1 ${NODE}`,
      `EVP_DigestVerify+0x2 ${NODE}`,
      `Builtins_CallApiCallback+0x3 ${NODE}`,
      START,
      ...BOTTOM,
    ),
    sample(
      'keylime verifie',
      `tcp_sendmsg+0x1 ([kernel.kallsyms])`,
      `__x64_sys_write+0x2 ([kernel.kallsyms])`,
      `do_syscall_64+0x3 ([kernel.kallsyms])`,
      START,
      ...BOTTOM,
    ),
    sample(
      'keylime verifie',
      `v8::internal::ScavengerCollector::Collect+0x1 ${NODE}`,
      `v8::internal::Heap::CollectGarbage+0x2 ${NODE}`,
      START,
      ...BOTTOM,
    ),
    sample('keylime verifie', `JS:^ file:///place/node_modules/kysely/dist/kysely.js:731:55+0x4d3 (/tmp/perf-4242.map)`, START, ...BOTTOM),
    sample('V8Worker', `v8::internal::ConcurrentMarking::Run+0x1 ${NODE}`, 'start_thread+0x1 (/usr/lib/libc.so.6)'),
  ].join('')
  const whole = foldPerf(`# header\n\n${text}`)
  expect([whole.micros, whole.children.map(({ name, micros }) => [name, micros])]).toEqual([
    5000,
    [
      ['thread keylime verifie', 4000],
      ['thread V8Worker', 1000],
    ],
  ])
  const start = whole.children[0]!.children[0]!
  expect([start.name, start.place, start.origin]).toEqual(['start', 'src/io/scheduler.ts:54', 'ours'])
  expect(start.children.map(({ name, origin }) => [name, origin])).toEqual([
    ['EVP_DigestVerify', 'native'],
    ['sys_write', 'kernel'],
    ['(garbage collection)', 'native'],
    ['(anonymous)', 'library'],
  ])
  expect(start.children[0]!.children.map(({ name }) => name)).toEqual(['sha256_block'])
  expect(whole.children[1]!.children.map(({ name }) => name)).toEqual(['(garbage collection)'])
})

test('a stack that perf could not follow, and text that is not a sample, break nothing', () => {
  const whole = foldPerf(`${sample('node', '[unknown] ([unknown])')}nonsense\n\n`)
  const [unknown] = whole.children[0]!.children
  expect([unknown!.name, unknown!.children.map(({ name }) => name)]).toEqual(['(callers unknown)', ['in unknown code']])
  expect(
    foldPerf(sample('node', 'std::vector<int>::grow(int)+0x1 (/usr/lib/libstdc++.so.6)', '_start+0x1 (/usr/lib/libc.so.6)')).children[0]!
      .children,
  ).toMatchObject([{ name: 'std::vector' }])
  expect(whole.micros).toBe(1000)
})

test('where one function took the memory of others, its name counts', () => {
  const map = ['1000 100 JS:a x.js:1:1', '1100 100 JS:b x.js:2:1', '1300 80 JS:c x.js:3:1', '1080 100 JS:d x.js:4:1', 'no line', ''].join(
    '\n',
  )
  expect(latestOf(map)).toBe('1080 100 JS:d x.js:4:1\n1300 80 JS:c x.js:3:1\n')
  expect(latestOf('1000 100 JS:a x.js:1:1\n1100 100 JS:b x.js:2:1\n')).toContain('JS:a')
})

// Makes the files of `program.ts`, in a process of its own: `node test/bundle-program.ts FOLDER`.
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Plugin } from 'esbuild'

const ROOT = path.resolve(import.meta.dirname, '..')
const MADE_OF = ['node_modules/.package-lock.json', 'test/bundle-program.ts']

/** Names what a bundle is made of, to the byte: each source, the packages, this Node, this file, and the place, which is written into the bundle. */
export function programState(root = ROOT): string {
  const sources = fs.readdirSync(path.join(root, 'src'), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  const files = [
    ...sources.map((entry) => path.join(entry.parentPath, entry.name)).toSorted(),
    ...MADE_OF.map((name) => path.join(root, name)),
  ]
  const hash = createHash('sha256').update(process.version)
  for (const file of files) hash.update(`\0${file}\0`).update(fs.readFileSync(file))
  return hash.digest('hex').slice(0, 24)
}

/** Modules that are loaded later stay files of their own, as they are in the sources. The entry keeps what V8 compiled, whatever the environment of the process. */
async function bundleInto(folder: string): Promise<void> {
  const { build } = await import('esbuild')
  await build({
    entryPoints: { program: path.join(ROOT, 'src/main.ts') },
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    platform: 'node',
    format: 'esm',
    target: 'node24',
    mainFields: ['module', 'main'],
    minifyWhitespace: true,
    alias: { 'cmake-ts/build/loader': path.join(ROOT, 'src/io/zeromq/packaged-addon.ts') },
    plugins: [OWN_PLACES],
    banner: { js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);" },
  })
  const lines = [
    "import { enableCompileCache } from 'node:module'",
    "enableCompileCache(import.meta.dirname + '/compiled')",
    "await import('./program.mjs')",
    '',
  ]
  fs.writeFileSync(path.join(folder, 'keylime.mjs'), lines.join('\n'))
}

/** Each module knows the place where its source is: addons, workers and texts are found from there. */
const OWN_PLACES: Plugin = {
  name: 'own places',
  setup: (build) =>
    build.onLoad({ filter: /\.(?:ts|js|mjs)$/ }, ({ path: file }) => {
      const text = fs.readFileSync(file, 'utf8')
      if (!/import\.meta\.(?:url|dirname)\b/.test(text)) return undefined
      const contents = text
        .replaceAll(/\bimport\.meta\.url\b/g, JSON.stringify(pathToFileURL(file).href))
        .replaceAll(/\bimport\.meta\.dirname\b/g, JSON.stringify(path.dirname(file)))
      return { contents, loader: file.endsWith('.ts') ? 'ts' : 'js' }
    }),
}

/** Whole or not at all, and only of sources that stayed as they were meanwhile. Somebody else may have been first. */
async function publish(folder: string): Promise<void> {
  const unfinished = `${folder}.${process.pid}`
  await bundleInto(unfinished)
  try {
    if (path.basename(folder) === programState()) fs.renameSync(unfinished, folder)
  } catch (error) {
    if (!fs.existsSync(folder)) throw error
  } finally {
    fs.rmSync(unfinished, { recursive: true, force: true })
  }
}

if (import.meta.main) await publish(process.argv[2]!)

import { readFileSync } from 'node:fs'
import path from 'node:path'
import { build, type Plugin } from 'esbuild'
import { exportNameOf } from './targets.ts'

/** A bundle has one place; its modules look for files from where their sources are. */
const ownDirectories: Plugin = {
  name: 'own-directories',
  setup(building) {
    building.onLoad({ filter: /\.ts$/ }, ({ path: file }) => ({
      loader: 'ts',
      contents: readFileSync(file, 'utf8').replaceAll('import.meta.dirname', JSON.stringify(path.dirname(file))),
    }))
  },
}

/** Writes a CommonJS file of one target, the only form that jazzer instruments: it exports `fuzz`. */
export async function bundleTarget(name: string, outfile: string): Promise<void> {
  const contents = `
    import { keepInput } from './keep-input.ts'
    import { exercise } from './exercise.ts'
    import { ${exportNameOf(name)} as target } from './targets/${name}.ts'
    export const fuzz = exercise(target, keepInput)`
  await build({
    stdin: { contents, resolveDir: import.meta.dirname, loader: 'ts' },
    outfile,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node24',
    mainFields: ['module', 'main'],
    plugins: [ownDirectories],
    logLevel: 'error',
  })
}

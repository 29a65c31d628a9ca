import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { type ArchivePlan, DEFAULT_ARCHIVE_LIMITS } from '../../../src/core/payload/archive-plan.ts'
import { openArchive } from '../../../src/io/files/unzip.ts'
import { buildZip } from '../../zip-builder.ts'
import { demand, type Target, unlessRefusedLater } from '../target.ts'

const LIMITS = { ...DEFAULT_ARCHIVE_LIMITS, maxEntries: 64, maxTotalBytes: 1 << 20 }
const D = Buffer.from

/** Zips of payloads: what is written is the plan, and nothing outside of the directory. */
export const zip: Target = {
  seeds: () => [
    buildZip([
      { name: 'autorun.sh', data: D('#!/bin/sh\n'), mode: 0o100755 },
      { name: 'dir/', mode: 0o040755 },
      { name: 'dir/a', data: D('aaaaaaaaaaaaaaaa'), deflate: true },
    ]),
    buildZip([{ name: '../x', data: D('x') }]),
    buildZip([
      { name: 'a', data: D('1') },
      { name: 'a', data: D('2') },
    ]),
    buildZip([{ name: 'l', data: D('/etc/passwd'), mode: 0o120777 }]),
    buildZip([]),
  ],
  words: ['PK\x01\x02', 'PK\x03\x04', 'PK\x05\x06', 'PK\x06\x06', '../', '/'],
  async run(input) {
    const archive = await unlessRefusedLater(['archive_refused'], () => openArchive(input, LIMITS))
    if (!archive) return
    checkPlan(archive.plan)
    const directory = mkdtempSync(path.join(os.tmpdir(), 'keylime-fuzz-zip-'))
    try {
      const done = await unlessRefusedLater(['archive_refused'], () => archive.extract(directory).then(() => true))
      const written = readdirSync(directory, { recursive: true, withFileTypes: true })
      const files = written
        .filter((entry) => entry.isFile())
        .map((entry) => path.relative(directory, path.join(entry.parentPath, entry.name)))
      demand(
        written.every((entry) => entry.isFile() || entry.isDirectory()),
        'something is written that is neither file nor directory',
      )
      demand(
        files.every((name) => archive.plan.files.some((file) => file.name === name)),
        'a file is written that is not planned',
      )
      if (done)
        demand(
          archive.plan.files.every(({ name, size, mode }) => isThere(path.join(directory, name), size, mode)),
          'a planned file is not written',
        )
    } finally {
      rmSync(directory, { recursive: true })
    }
  },
}

function isThere(file: string, size: number, mode: number): boolean {
  const found = statSync(file)
  return found.size === size && (found.mode & 0o7777) === mode
}

function checkPlan({ directories, files, totalBytes }: ArchivePlan): void {
  const known = new Set(directories)
  for (const name of [...directories, ...files.map((file) => file.name)]) {
    demand(
      name !== '' && path.posix.normalize(name) === name && !name.startsWith('/') && !name.split('/').includes('..'),
      () => `the plan has ${JSON.stringify(name)}`,
    )
    const parent = path.posix.dirname(name)
    demand(parent === '.' || known.has(parent), 'a parent is not planned')
  }
  demand(new Set(files.map(({ name }) => name)).size === files.length, 'a file is planned twice')
  demand(
    files.reduce((sum, { size }) => sum + size, 0) <= totalBytes && totalBytes <= LIMITS.maxTotalBytes,
    'the plan is larger than it may be',
  )
}

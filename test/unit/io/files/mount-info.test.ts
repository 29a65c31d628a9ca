import fs from 'node:fs'
import { mountAt, mountOptionsOf, parseMountInfo } from '../../../../src/io/files/mount-info.ts'

test('octal escapes of the mount point are decoded, optional fields skipped', () => {
  const line = '36 35 98:0 /mnt1 /var/lib/key\\040lime/se\\134cure rw,noatime master:1 shared:2 - tmpfs tmpfs rw,size=1024k,mode=700'
  expect(parseMountInfo(`${line}\n`)).toEqual([
    {
      device: '98:0',
      root: '/mnt1',
      mountPoint: '/var/lib/key lime/se\\cure',
      options: ['rw', 'noatime'],
      type: 'tmpfs',
      superOptions: ['rw', 'size=1024k', 'mode=700'],
    },
  ])
})

test('a mount point that contains " - " escaped does not confuse the separator', () => {
  const [entry] = parseMountInfo('36 35 98:0 / /a\\040-\\040tmpfs rw - ext4 /dev/sda1 rw')
  expect(entry).toMatchObject({ mountPoint: '/a - tmpfs', type: 'ext4' })
})

test('lines that make no sense are left out', () => {
  expect(parseMountInfo('nonsense\n36 35 98:0 / /a rw\n36 35 98:0 / /a rw - ext4 none\n\n')).toEqual([])
})

test('the options of a directory are those of the nearest mount, and of one that is not there none', () => {
  const [proc, root] = [mountAt('/proc')!, mountAt('/')!].map(({ options, superOptions }) => [...options, ...superOptions])
  expect(proc).not.toEqual(root)
  expect(mountOptionsOf('/proc/1')).toEqual(proc)
  const isOnRoot = (name: string) => fs.lstatSync(`/${name}`).isDirectory() && fs.statSync(`/${name}`).dev === fs.statSync('/').dev
  for (const directory of ['', fs.readdirSync('/').find(isOnRoot)]) expect(mountOptionsOf(`/${directory}`)).toEqual(root)
  expect(mountOptionsOf('/proc/none')).toBeUndefined()
})

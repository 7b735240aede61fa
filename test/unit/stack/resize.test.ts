import { expect, test } from 'vitest'
import { parseExtents } from '../../../src/stack/resize.ts'

/** Of btrfs-progs 6.2. */
const dump = `btrfs-progs v6.2
device tree key (DEV_TREE ROOT_ITEM 0)
leaf 30687232 items 10 free space 15569 generation 11 owner DEV_TREE
	item 0 key (DEV_STATS PERSISTENT_ITEM 1) itemoff 16243 itemsize 40
		persistent item objectid DEV_STATS offset 1
		device stats
		write_errs 0 read_errs 0 flush_errs 0 corruption_errs 0 generation 0
	item 2 key (1 DEV_EXTENT 22020096) itemoff 16155 itemsize 48
		dev extent chunk_tree 3
		chunk_objectid 256 chunk_offset 22020096 length 8388608
		chunk_tree_uuid 94707300-6732-4857-a9a6-562ed562620c
	item 3 key (1 DEV_EXTENT 30408704) itemoff 16107 itemsize 48
		dev extent chunk_tree 3
		chunk_objectid 256 chunk_offset 30408704 length 53673984
		chunk_tree_uuid 94707300-6732-4857-a9a6-562ed562620c
	item 6 key (2 DEV_EXTENT 1048576) itemoff 15963 itemsize 48
		dev extent chunk_tree 3
		chunk_objectid 256 chunk_offset 22020096 length 8388608
		chunk_tree_uuid 94707300-6732-4857-a9a6-562ed562620c
total bytes 1073741824
`

test('where the chunks of a member lie', () => {
  expect(parseExtents(dump, 1)).toEqual([
    { start: 22020096, length: 8388608 },
    { start: 30408704, length: 53673984 },
  ])
  expect(parseExtents(dump, 2)).toEqual([{ start: 1048576, length: 8388608 }])
  expect(parseExtents(dump, 3)).toEqual([])
})

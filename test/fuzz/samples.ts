/** What tools print when all is well, recorded (cryptsetup 2.6.1, btrfs-progs 6.2, OpenSSH 9.2, Linux 6.1): damaged by the tests. */

export const superblock = `superblock: bytenr=65536, device=/dev/mapper/cv-photos-fsn
csum\t\t\t0x5d8a [match]
fsid\t\t\t6f2b8c3e-1b1e-4c57-9a07-8a2f0a0f5b11
label\t\t\tphotos#2.41.9f03c2d1
generation\t\t42
num_devices\t\t2
dev_item.uuid\t\t0a4c7d0e-5a92-4b0e-8d43-6c1f6f1d2a10
dev_item.fsid\t\t6f2b8c3e-1b1e-4c57-9a07-8a2f0a0f5b11 [match]
dev_item.devid\t\t1
dev_item.bytes_used\t1073741824
`

export const scrub = `UUID:             6f2b8c3e
Status:           finished
\tdata_bytes_scrubbed: 85983232
\ttree_bytes_scrubbed: 5668864
\tcorrected_errors: 57
\tuncorrectable_errors: 0
`

export const replace = '12.3% done, 0 write errs, 0 uncorr. read errs\n'

const area = { type: 'raw', offset: '32768', size: '258048', encryption: 'aes-xts-plain64', key_size: 64 }
export const header = {
  keyslots: {
    0: { type: 'luks2', key_size: 64, area, kdf: { type: 'pbkdf2', hash: 'sha256', iterations: 1000 } },
    1: { type: 'luks2', key_size: 64, area, kdf: { type: 'argon2id', time: 4, memory: 1048576, cpus: 4 } },
  },
  tokens: { 0: { type: 'systemd-recovery', keyslots: ['1'] } },
  segments: {
    0: {
      type: 'crypt',
      offset: '0',
      size: 'dynamic',
      iv_tweak: '0',
      encryption: 'aes-xts-plain64',
      sector_size: 4096,
    },
  },
  digests: { 0: { type: 'pbkdf2', keyslots: ['0'], segments: ['0'], iterations: 1000 } },
  config: { json_size: '12288', keyslots_size: '2097152' },
}

export const table =
  '0 1048576 crypt aes-xts-plain64 :64:logon:cryptsetup:d9f6-d0 0 43:0 0 1 sector_size:4096\n'

export const dump = `LUKS header information for keys.luks\nCipher name:   \taes\nMK bits:       \t512\nMK dump:\t${'4f '.repeat(64)}\n`

export const mountinfo = `90 28 0:45 / /vault/my\\040photos rw,nosuid,nodev - btrfs /dev/mapper/cv-photos-fsn rw,subvol=/
91 90 0:46 / /vault/photos ro - btrfs /dev/dm-0 ro,degraded
92 91 0:47 / /vault/photos/inner rw - tmpfs tmpfs rw
`
export const maps = '7f00-7f01 r-xp 00000000 00:2d 260  /vault/photos/lib\\012x.so\n'
export const cgroup =
  '0::/system.slice/cv-photos-monitor.service\n1:name=systemd:/user.slice/session-2.scope\n'
export const sockets =
  '  0: 00000000:2A39 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1\n42 (a) b) S 1 42 42 0\n'

export const sshConfig = `user anna
hostname storage.example
port 2222
identityfile ~/.ssh/id_ed25519
identityfile \${HOME}/.ssh/other
identityagent SSH_AUTH_SOCK
identitiesonly no
userknownhostsfile ~/.ssh/known_hosts ~/.ssh/known_hosts2
globalknownhostsfile /etc/ssh/ssh_known_hosts
hostkeyalias storage
proxyjump anna@jump.example:2200
proxycommand none
`

const key = Buffer.concat([Buffer.from('0000000b', 'hex'), Buffer.from('ssh-ed25519'), Buffer.alloc(36, 7)])
export const knownHosts = `# Host storage found: line 1
storage ssh-ed25519 ${key.toString('base64')} comment
@revoked storage ssh-ed25519 ${key.toString('base64')}
@cert-authority *.example ssh-ed25519 ${key.toString('base64')}
`

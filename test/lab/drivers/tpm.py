"""A TPM2 for a guest whose kernel has none: swtpm behind a pseudo terminal called /dev/tpmrm0, and a /sys/class/tpmrm
that lists it. What cloudvault runs (systemd-cryptenroll, cryptsetup's token plugin) finds it as it finds a real one.
The kernel's resource manager is missing: whoever uses it flushes sessions in between (tpm2_flushcontext)."""
import os, pty, select, socket, subprocess, time, tty

STATE, REAL, FAKE = '/run/swtpm', '/run/real-sys', '/sys/class'


def sh(*words):
    subprocess.run(words, check=True)


os.makedirs(STATE)
sh('swtpm', 'socket', '--tpm2', '--tpmstate', f'dir={STATE}', '--server', 'type=tcp,port=2321', '--ctrl',
   'type=tcp,port=2322', '--flags', 'startup-clear,not-need-init', '--daemon')
os.makedirs(REAL)
sh('mount', '--bind', '/sys', REAL)
sh('mount', '-t', 'tmpfs', 'tmpfs', FAKE)
for name in os.listdir(f'{REAL}/class'):
    os.symlink(f'{REAL}/class/{name}', f'{FAKE}/{name}')
os.makedirs(f'{FAKE}/tpmrm/tpmrm0')

for _ in range(100):
    try:
        chip = socket.create_connection(('127.0.0.1', 2321))
        break
    except OSError:
        time.sleep(0.1)
chip.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
near, far = pty.openpty()
tty.setraw(far)
os.symlink(os.ttyname(far), '/dev/tpmrm0')
print('ready', flush=True)
while True:
    readable, _, _ = select.select([near, chip], [], [])
    if near in readable:
        chip.sendall(os.read(near, 65536))
    if chip in readable:
        answer = chip.recv(65536)
        if not answer:
            break
        os.write(near, answer)

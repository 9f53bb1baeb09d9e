/** Files of a virtual machine's own: units, and a door through which a test runs scripts in it. */

export interface MachineFile {
  path: string;
  content: string;
  mode?: number;
}

/** The port of the door, inside. */
export const doorPort = 80;
/** Where QEMU's network has the machine, and the host's loopback. */
export const machineAddress = '10.0.2.15';
export const hostAddress = '10.0.2.2';
export const machineName = 'machine';

/** Runs the script that a request brings, and answers with its output and its code. */
const door = `#!/bin/sh
d=$(mktemp -d)
cat > $d/script
/bin/bash $d/script > $d/out 2> $d/err < /dev/null
code=$?
printf 'Content-Type: text/plain\\r\\nX-Code: %s\\r\\nX-Out: %s\\r\\n\\r\\n' $code $(wc -c < $d/out)
cat $d/out $d/err
rm -r $d
`;

export const machineFiles: readonly MachineFile[] = [
  { path: 'etc/hostname', content: `${machineName}\n` },
  { path: 'etc/hosts', content: `127.0.0.1 localhost\n${machineAddress} ${machineName}\n` },
  { path: 'etc/resolv.conf', content: '' },
  { path: 'etc/fstab', content: '' },
  { path: 'etc/machine-id', content: '5b2c1d0e9f8a47669d0c1b2a39485766\n' },
  {
    path: 'etc/passwd',
    content:
      'root:x:0:0:root:/root:/bin/bash\nmessagebus:x:100:100::/nonexistent:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n',
  },
  {
    path: 'etc/group',
    content: 'root:x:0:\nmessagebus:x:100:\ntty:x:5:\nsystemd-journal:x:101:\nutmp:x:43:\nnogroup:x:65534:\n',
  },
  { path: 'etc/shadow', content: 'root:*:19000:0:99999:7:::\n', mode: 0o640 },
  { path: 'etc/modules-load.d/node.conf', content: 'overlay\nbr_netfilter\nvirtio_net\n' },
  {
    path: 'etc/sysctl.d/90-node.conf',
    content: 'net.ipv4.ip_forward = 1\nnet.bridge.bridge-nf-call-iptables = 1\nvm.nr_hugepages = 16\n',
  },
  { path: 'usr/lib/door/cgi-bin/run', content: door, mode: 0o755 },
  {
    path: 'etc/systemd/system/door.service',
    content: `[Unit]
Description=Runs the scripts of a test
After=network-up.service
[Service]
ExecStart=/bin/busybox httpd -f -p ${doorPort} -h /usr/lib/door
[Install]
WantedBy=multi-user.target
`,
  },
  {
    path: 'etc/systemd/system/network-up.service',
    content: `[Unit]
Description=The network of QEMU
Before=network-online.target
After=systemd-modules-load.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -ec 'ip link set eth0 up; ip address replace ${machineAddress}/24 dev eth0; ip route replace default via ${hostAddress}'
[Install]
WantedBy=multi-user.target
`,
  },
  { path: 'etc/systemd/system-preset/00-test.preset', content: 'disable *\n' },
];

/** What starts with the machine, and where its unit is. */
export const startedUnits: Readonly<Record<string, string>> = {
  'containerd.service': '/lib/systemd/system',
  'door.service': '/etc/systemd/system',
  'network-up.service': '/etc/systemd/system',
};

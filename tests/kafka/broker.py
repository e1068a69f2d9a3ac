#!/usr/bin/env python3
"""A real Apache Kafka (KRaft) on loopback for end-to-end tests: one or three nodes on free ports, in a folder of
their own under the temporary folder.

    broker.py deps         fetches the pinned jars (pom.xml) into build/kafka/libs, once, and makes the archive of
                           loaded classes that halves each start
    broker.py run [NODES]  prints the bootstrap list, runs until its standard input ends (make demo BROKER=kafka)

Only processes that this program started are ever signalled."""
import glob
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.join(os.path.dirname(os.path.dirname(HERE)), 'build', 'kafka')
LIBS, ARCHIVE, STAMP = os.path.join(BUILD, 'libs'), os.path.join(BUILD, 'classes.jsa'), os.path.join(BUILD, 'pom.xml')
CLUSTER_ID = 'MkU3OEVBNTcwNTJENDM2Qg'  # any base64 UUID of 22 characters
READY_S, STOP_S = 90, 20
PORTS = 5  # of a node: PLAINTEXT, SASL_SSL, SSL, CONTROLLER, BEHIND (a proxy)
# Serial GC and C1 only: ready in half the time of the JVM's defaults on two cores.
JVM = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-XX:-UsePerfData', '-Djava.awt.headless=true', '-Xlog:cds=off',
       '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn', '-Dorg.slf4j.simpleLogger.showDateTime=true',
       '-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS', '-Dorg.slf4j.simpleLogger.log.kafka.server.BrokerServer=info']
SECURE = ('SASL_SSL', 'SSL')
USERS = {'car': 'car-secret', 'tool': 'tool-secret'}  # of SCRAM


def available():
    return bool(glob.glob(os.path.join(LIBS, 'kafka_2.13-*.jar'))) and shutil.which('java') is not None


def classpath():
    return ':'.join(sorted(glob.glob(os.path.join(LIBS, '*.jar'))))


def java(heap, *arguments):
    return ['java', f'-Xmx{heap}', *JVM, *arguments[:-1], '-cp', classpath(), *arguments[-1]]


def free_ports(count):
    """A run of free ports below the range that the kernel gives to clients."""
    while True:
        first = random.randrange(15000, 31000)
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(('127.0.0.1', port))
            return first
        except OSError:
            continue


def openssl(*arguments):
    subprocess.run(['openssl', *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def certificates(folder):
    """ca.pem; NAME.key and NAME.pem of server, client, expired (a client a day late) and stranger (another CA's)."""
    os.makedirs(folder)

    def path(name):
        return os.path.join(folder, name)

    key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
    for ca in ('ca', 'other-ca'):
        openssl('req', '-x509', *key, '-days', '30', '-subj', f'/CN=test-{ca}', '-keyout', path(ca + '.key'), '-out', path(ca + '.pem'))
    with open(path('names'), 'w') as f:
        f.write('subjectAltName=DNS:localhost,IP:127.0.0.1')
    for name, ca, days in (('server', 'ca', '30'), ('client', 'ca', '30'), ('expired', 'ca', '-1'), ('stranger', 'other-ca', '30')):
        openssl('req', *key, '-subj', f'/CN=test-{name}', '-keyout', path(name + '.key'), '-out', path(name + '.csr'))
        openssl('x509', '-req', '-in', path(name + '.csr'), '-CA', path(ca + '.pem'), '-CAkey', path(ca + '.key'), '-CAcreateserial',
                '-days', days, '-extfile', path('names'), '-out', path(name + '.pem'))
    with open(path('server-store.pem'), 'w') as store:  # ssl.keystore.type=PEM: key and chain in one file
        for name in ('server.key', 'server.pem', 'ca.pem'):
            with open(path(name)) as f:
                store.write(f.read())


class Cluster:
    """nodes: 1, or 3 with replication 3 and min.insync.replicas=2. secure: also listeners with SASL_SSL (SCRAM-SHA-256,
    USERS) and SSL (mutual TLS, `User:CN=test-client`). proxy_port: node 1 has one more listener, `behind`, which tells clients to come to this port
    instead (proxy.py). extra: more lines of server.properties. jvm: more JVM options."""

    def __init__(self, nodes=1, secure=False, extra='', jvm=(), heap='256m', proxy_port=None):
        if not available():
            raise RuntimeError('no Kafka under build/kafka: make test-deps')
        self.folder = tempfile.mkdtemp(prefix='roadloop-kafka-')
        self.nodes, self.secure, self.extra, self.jvm, self.heap, self.proxy_port = nodes, secure, extra, list(jvm), heap, proxy_port
        self.port = free_ports(PORTS * nodes)
        self.processes = {}
        self.certs = os.path.join(self.folder, 'certs')
        if secure:
            certificates(self.certs)
        try:
            self._format_all()
            for node in self.ids():
                self.launch(node)
            for node in self.ids():
                self.wait_ready(node)
        except BaseException:
            self.close()
            raise

    def ids(self):
        return range(1, self.nodes + 1)

    def _path(self, node, name):
        return os.path.join(self.folder, f'node{node}', name)

    def _address(self, node, listener):
        return f'127.0.0.1:{self.port + PORTS * (node - 1) + listener}'

    def _list(self, listener):
        return ','.join(self._address(node, listener) for node in self.ids())

    bootstrap = property(lambda self: self._list(0))
    bootstrap_sasl = property(lambda self: self._list(1))
    bootstrap_ssl = property(lambda self: self._list(2))

    @property
    def behind(self):
        """Where a proxy finds node 1."""
        return self.port + 4

    def _properties(self, node):
        copies, insync = (3, 2) if self.nodes >= 3 else (1, 1)
        names = ['PLAINTEXT', 'SASL_SSL', 'SSL'] if self.secure else ['PLAINTEXT']
        listeners = ','.join(f'{name}://{self._address(node, i)}' for i, name in enumerate(names))
        told, names = listeners, names + ['BEHIND'] * bool(self.proxy_port)
        if self.proxy_port:
            listeners, told = listeners + f',BEHIND://{self._address(node, 4)}', told + f',BEHIND://127.0.0.1:{self.proxy_port}'
        voters = ','.join(f'{n}@{self._address(n, 3)}' for n in self.ids())
        lines = f'''process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
listeners={listeners},CONTROLLER://{self._address(node, 3)}
advertised.listeners={told}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,{','.join(f'{name}:{name if self.secure and name in SECURE else "PLAINTEXT"}' for name in names)}
inter.broker.listener.name=PLAINTEXT
log.dirs={self._path(node, 'data')}
auto.create.topics.enable=false
default.replication.factor={copies}
min.insync.replicas={insync}
offsets.topic.replication.factor={copies}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={insync}
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
# A crash is noticed, and a killed node let back in, after this long (9000 and 2000 by default).
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# 128 MB of heap by default.
log.cleaner.dedupe.buffer.size=4194304
log.cleaner.threads=1
'''
        if self.secure:
            scram = 'org.apache.kafka.common.security.scram.ScramLoginModule required;'
            lines += f'''ssl.keystore.type=PEM
ssl.keystore.location={self.certs}/server-store.pem
ssl.truststore.type=PEM
ssl.truststore.location={self.certs}/ca.pem
listener.name.ssl.ssl.client.auth=required
listener.name.sasl_ssl.sasl.enabled.mechanisms=SCRAM-SHA-256
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config={scram}
# Who comes without a certificate or password (the tests themselves) may do all; nobody else is refused without an ACL.
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=true
'''
        return lines + self.extra + '\n'

    def _format_all(self):
        """Writes the configurations and gives every node its cluster id and, with SASL, its users."""
        users = []
        for user, password in USERS.items() if self.secure else ():
            users += ['--add-scram', f'SCRAM-SHA-256=[name={user},password={password}]']
        running = []
        for node in self.ids():
            os.makedirs(self._path(node, 'data'))
            with open(self._path(node, 'server.properties'), 'w') as f:
                f.write(self._properties(node))
            archive = [f'-XX:SharedArchiveFile={ARCHIVE}'] if os.path.exists(ARCHIVE) else []
            running.append(subprocess.Popen(
                java('128m', *archive, ['kafka.tools.StorageTool', 'format', '-t', CLUSTER_ID, '-c',
                                        self._path(node, 'server.properties'), *users]),
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        for process in running:
            text = process.communicate()[0]
            if process.returncode:
                raise RuntimeError('kafka: format failed:\n' + text)

    def launch(self, node):
        archive = [f'-XX:SharedArchiveFile={ARCHIVE}'] if os.path.exists(ARCHIVE) and not self.jvm else []
        with open(self._path(node, 'log'), 'w') as log:
            self.processes[node] = subprocess.Popen(
                java(self.heap, *archive, *self.jvm, ['kafka.Kafka', self._path(node, 'server.properties')]),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def log(self, node):
        with open(self._path(node, 'log'), errors='replace') as f:
            return f.read()

    def wait_ready(self, node):
        end = time.monotonic() + READY_S
        while time.monotonic() < end:
            text = self.log(node)
            # A listener whose port is taken does not keep Kafka from calling itself started.
            if 'failed to bind' in text or self.processes[node].poll() is not None:
                break
            if 'Transition from STARTING to STARTED' in text:
                return
            time.sleep(0.05)
        raise RuntimeError(f'kafka: node {node} did not start:\n' + self.log(node)[-3000:])

    # --- what happens to a node ---
    def kill(self, node=1):
        """A crash."""
        process = self.processes.pop(node)
        process.kill()
        process.wait()

    def stop(self, node=1):
        """An orderly end."""
        process = self.processes.pop(node)
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def start(self, node=1):
        self.launch(node)
        self.wait_ready(node)

    def pause(self, node=1):
        self.processes[node].send_signal(signal.SIGSTOP)

    def resume(self, node=1):
        self.processes[node].send_signal(signal.SIGCONT)

    def close(self):
        # All at once: the last of three has no quorum to leave in order.
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()
        self.processes = {}
        shutil.rmtree(self.folder, ignore_errors=True)


def same(one, other):
    try:
        with open(one) as a, open(other) as b:
            return a.read() == b.read()
    except FileNotFoundError:
        return False


def deps():
    pom = os.path.join(HERE, 'pom.xml')
    if same(pom, STAMP) and available() and os.path.exists(ARCHIVE):
        return
    shutil.rmtree(BUILD, ignore_errors=True)
    os.makedirs(LIBS)
    subprocess.run(['mvn', '-q', '-B', '-Dstyle.color=never', '-f', pom, 'dependency:copy-dependencies',
                    '-DincludeScope=runtime', '-DoutputDirectory=' + LIBS], check=True)
    made = ARCHIVE + '.new'
    cluster = Cluster(secure=True, jvm=['-XX:ArchiveClassesAtExit=' + made])
    cluster.processes[1].terminate()  # it writes the archive as it ends
    cluster.processes[1].wait(timeout=120)
    cluster.close()
    os.rename(made, ARCHIVE)
    shutil.copy(pom, STAMP)


def main(command, *arguments):
    if command == 'deps':
        deps()
    elif command == 'run':
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # through `finally`: leave no node behind
        cluster = Cluster(int(*arguments) if arguments else 1)
        print(cluster.bootstrap, flush=True)
        try:
            sys.stdin.read()
        finally:
            cluster.close()
    else:
        sys.exit(__doc__)


if __name__ == '__main__':
    main(*(sys.argv[1:] or ['help']))

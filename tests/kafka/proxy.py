"""A TCP proxy in front of one port of loopback, in threads: open or closed, at a given rate towards the far end; counts
what it carries."""
import socket
import threading
import time

PIECE = 1024


class Proxy:
    def __init__(self, rate=None, is_open=True):
        """rate: bytes per second towards the far end, None: as fast as it goes."""
        self.rate, self.is_open, self.target = rate, is_open, None
        self.sent = 0  # bytes towards the far end
        self.pairs, self.lock = [], threading.Lock()
        self.free_at = 0.0
        self.server = socket.socket()
        self.server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.server.bind(('127.0.0.1', 0))
        self.port = self.server.getsockname()[1]
        self.server.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.server.accept()
            except OSError:
                return
            if not self.is_open or not self.target:
                near.close()
                continue
            # A small window: what waits in the proxy is not on the air.
            near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            try:
                far = socket.create_connection(('127.0.0.1', self.target))
            except OSError:
                near.close()
                continue
            with self.lock:
                self.pairs.append((near, far))
            threading.Thread(target=self._carry, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self._carry, args=(far, near, False), daemon=True).start()

    def _wait_turn(self, count):
        """All connections share the one link."""
        with self.lock:
            now = time.monotonic()
            self.free_at = max(self.free_at, now) + count / self.rate
            pause = self.free_at - now
        time.sleep(pause)

    def _carry(self, source, sink, counted):
        try:
            while data := source.recv(PIECE if counted else 65536):
                if counted and self.rate:
                    self._wait_turn(len(data))
                sink.sendall(data)
                if counted:
                    self.sent += len(data)
        except OSError:
            pass
        for end in (source, sink):
            end.close()

    def open(self):
        self.is_open = True

    def close(self):
        self.is_open = False
        self.server.close()
        for pair in self.pairs:
            for end in pair:
                end.close()

-- jobs.lua - the real programs that `make transparency` runs: data
--
-- A row is a transparency.job (spec/transparency/init.lua). `known` has what is known to differ, and why: lines as a
-- run shows them, by pattern; a row that no line matches any more fails the run. The folder of the sources is $TREE.

local jobs = {}

local FDS_INLINE = "descriptors 1000 and 1001 are lencase's, and seen in /proc/self/fd (core/host/inline/README.md)"
local SECCOMP_INLINE =
  "a filter of the program's own kills it for what the host itself calls, which is said (core/host/inline/README.md)"

local function job(row) table.insert(jobs, row) end

-- {============================= Python's own tests =========================

-- A verdict for each test, as its report in JUnit's format has them.
local VERDICTS = [[/usr/bin/python3 - <<'END'
import xml.etree.ElementTree as ET
for case in ET.parse("report.xml").iter("testcase"):
    print(case.get("name"), case.get("status"), *sorted(child.tag for child in case if child.tag in ("failure", "error", "skipped")))
END]]

for module, row in pairs {
  os = {}, signal = {}, threading = {},
  socket = { but = "'*VSOCK*'" }, -- waits for ever natively in a virtual machine whose host does not answer
  subprocess = {}, asyncio = { seconds = 600 },
  select = {}, poll = {}, epoll = {}, posix = {}, fcntl = {}, mmap = {},
  pty = {}, selectors = {}, tempfile = {}, shutil = {},
} do
  row.name = "python-" .. module
  row.needs, row.package, row.sign = "python3", "libpython3-testsuite", "ls -d /usr/lib/python3*/test/test_" .. module
    .. "*"
  row.seconds = row.seconds or 300
  row.command = ("/usr/bin/python3 -m test --junit-xml report.xml --timeout %d %s test_%s || [ $? = 2 ]")
    :format(row.seconds - 20, row.but and "-i " .. row.but or "", module)
  row.ignore = "out err"
  row.check = VERDICTS
  job(row)
end
table.sort(jobs, function(a, b) return a.name < b.name end)

-- }==========================================================================

-- {================================= tools ==================================

job { name = "sqlite3", needs = "sqlite3",
  command = [[
sqlite3 a.db 'pragma journal_mode=wal; create table t(a integer primary key, b text, c blob);'
sqlite3 a.db "with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)
  insert into t select i, 'row ' || i, zeroblob(i % 50) from n; create index t_b on t(b);"
sqlite3 -cmd '.timeout 20000' a.db 'update t set b = b || b where a % 3 = 0; delete from t where a % 7 = 0;' &
sqlite3 -cmd '.timeout 20000' a.db 'select count(*) > 0 from t;'
wait
sqlite3 a.db 'select count(*), sum(a), sum(length(b)) from t; pragma integrity_check; vacuum;'
sqlite3 a.db '.dump' > dump.sql
sqlite3 b.db < dump.sql
]],
  check = "sha256sum dump.sql; sqlite3 b.db 'select count(*) from t; pragma integrity_check'; ls" }

job { name = "git", needs = "git", short = true,
  setup = [[
git config --global user.name user; git config --global user.email user@example.org
git config --global init.defaultBranch main; git config --global advice.detachedHead false]],
  command = [[
export GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z'
git init repository; cd repository
for i in 1 2 3 4 5 6 7 8; do mkdir -p d$i; seq $i 2000 > d$i/f; git add .; git commit -m "number $i"; done
git checkout -b side HEAD~3; echo side > side; git add .; git commit -m side; git checkout main; git merge --no-edit side
git mv d1 e1; rm d2/f; git status --short; git stash; git log --oneline --graph --stat | cat
cd ..; git clone repository copy; git clone --bare --no-local repository bare
cd copy; git checkout -b more; echo more > more; git add .; git commit -m more; git push origin more
cd ../repository; git gc --quiet; git fsck --full; git diff HEAD~4 | sha256sum; git archive more | tar t]],
  normal = { { "%d+ bytes[^\n]*", "N bytes" }, { "Delta compression using[^\n]*", "" } },
  check = "for r in repository copy bare; do git -C $r fsck --full; git -C $r for-each-ref; done; "
    .. "find copy -path copy/.git -prune -o -type f -print | sort" }

job { name = "tar", needs = "tar gzip", short = true,
  setup = [[
mkdir -p from/deep/er; cd from; seq 20000 > numbers; head -c 300000 /dev/zero > zeroes; truncate -s 3M sparse; printf end >> sparse
ln numbers hard; ln -s ../numbers deep/soft; mkfifo fifo; touch -d 2001-02-03T04:05:06.789 old; chmod 4751 old; : > 'odd name é']],
  command = [[
tar -cf all.tar from; tar -tvf all.tar; tar -czf all.tar.gz from; tar -cSf sparse.tar from/sparse
mkdir a b c d; tar -C a -xpf all.tar; tar -C b -xzf all.tar.gz; tar -C c -xSf sparse.tar
tar -cf - from | (cd d && tar -xf -)
tar -df all.tar; tar --delete -f all.tar from/zeroes; tar -rf all.tar from/old; tar -tf all.tar
tar -xf missing.tar || echo "status $?"; gzip -l all.tar.gz > listed]],
  check = [[for d in a b c d; do (cd $d; find . -mindepth 2 -printf '%p %y %m %s %n %b %l %T@\n' | sort
  find . -type f -exec sha256sum {} + | sort); done]],
  normal = { { "%d+:%d+:%d+", "T" } } }

job { name = "gcc-make", needs = "gcc make ar", short = true, seconds = 120,
  setup = [[
mkdir -p core/host; cp "$TREE"/core/marshal*.c "$TREE"/core/policy.c "$TREE"/core/signature.c "$TREE"/core/*.h core; cp "$TREE"/core/host/host.h core/host
cat > Makefile <<'END'
OBJECTS = $(patsubst core/%.c,%.o,$(wildcard core/*.c))
all: library.a hello
%.o: core/%.c
	gcc -std=gnu11 -D_GNU_SOURCE= -O1 -Icore -c -o $@ $<
library.a: $(OBJECTS)
	ar rcsD $@ $^
hello: hello.c
	gcc -pipe -o $@ $<
END
printf '#include <stdio.h>\nint main(void) { return puts("hello") < 0; }\n' > hello.c
echo 'int broken(void) { return undeclared; }' > broken.c]],
  command = [[make -j2 --output-sync=target | sort; ./hello; make -q; gcc -c broken.c || echo "status $?"]],
  check = "sha256sum *.o library.a hello" }

job { name = "perl", needs = "perl",
  command = [[
cat > a.pl <<'END'
use strict; use warnings; use Fcntl qw(:flock :DEFAULT); use Socket; use POSIX qw(:sys_wait_h :signal_h); $| = 1;
print "backticks: ", `echo one; exit 3`, $? >> 8, "\n";
pipe(my $r, my $w) or die; my @kids;
for my $n (1 .. 5) { my $p = fork // die; if (!$p) { syswrite $w, sprintf "%02d", $n; exit $n } push @kids, $p }
print join(" ", map { waitpid $_, 0; $? >> 8 } @kids), "\n";
close $w; my $all = do { local $/; <$r> }; print join(" ", sort $all =~ /../g), "\n";
socketpair(my $x, my $y, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die;
if (!(my $p = fork)) { my $got = <$y>; print $y uc $got; close $y; exit } else { syswrite $x, "through a socket\n"; print scalar <$x>; waitpid $p, 0 }
my $caught = ""; local $SIG{USR1} = sub { $caught .= "usr1 " }; local $SIG{ALRM} = sub { die "alarm\n" };
kill USR1 => $$; kill USR1 => $$; print "$caught\n";
eval { alarm 1; sleep 30; }; print "ended by $@";
eval { alarm 1; sysread $r, my $b, 1 while 1 }; print "and by $@"; alarm 0;
sysopen(my $f, "file", O_RDWR|O_CREAT|O_EXCL) or die; flock $f, LOCK_EX or die; syswrite $f, "x" x 100000; sysseek $f, 10, 0; truncate $f, 20;
print -s $f, " ", (stat "file")[7], " ", ((stat _)[2] & 0777), "\n"; rename "file", "other" or die; print join(",", sort glob "*"), "\n";
open(my $missing, "<", "none") or print "error: $!\n"; open(my $bad, ">", "/proc/version") or print "error: $!\n";
my $set = POSIX::SigSet->new(SIGUSR2); sigprocmask(SIG_BLOCK, $set); my $usr2 = 0; $SIG{USR2} = sub { $usr2++ }; kill USR2 => $$; print "blocked $usr2\n";
sigprocmask(SIG_UNBLOCK, $set); print "delivered $usr2\n"; my @l = localtime 0; print "@l\n"; print "umask ", umask 027, "\n";
local $SIG{CHLD} = 'IGNORE'; my $p = fork; exit 0 if !$p; print waitpid($p, 0), " $!\n"; $SIG{CHLD} = 'DEFAULT';
if (!($p = fork)) { kill KILL => $$ } waitpid $p, 0; print "killed by ", $? & 127, "\n";
system("kill -TERM \$\$"); print "killed by ", $? & 127, "\n"; exec "sh", "-c", "echo executed";
END
perl a.pl]],
  check = "ls -ln | awk '{ print $1, $5, $9 }'" }

job { name = "openssl", needs = "openssl",
  command = [[
openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 10 -subj /CN=localhost 2> request.log
openssl x509 -in cert.pem -noout -subject -ext basicConstraints; openssl verify -CAfile cert.pem cert.pem
seq 100000 > plain; openssl enc -aes-256-cbc -pbkdf2 -k secret -in plain -out sealed; openssl enc -d -aes-256-cbc -pbkdf2 -k secret -in sealed -out again
cmp plain again; openssl dgst -sha256 plain; openssl dgst -sha256 -sign key.pem -out signature plain
openssl x509 -in cert.pem -pubkey -noout > public; openssl dgst -sha256 -verify public -signature signature plain
openssl s_server -accept 4433 -cert cert.pem -key key.pem -www > server.log 2>&1 & server=$!; trap 'kill $server' EXIT
for i in 1 2 3 4 5 6 7 8 9 10; do
  if printf 'GET / HTTP/1.0\r\n\r\n' | openssl s_client -quiet -connect 127.0.0.1:4433 -CAfile cert.pem > got 2> client.log; then break; fi; sleep 0.3
done
grep -c '^Ciphers supported' got; kill $server; wait $server || echo "server ended with $?"; trap - EXIT]] }

job { name = "shell", needs = "bash python3",
  command = [[PS1='ready> ' /usr/bin/python3 "$TREE/spec/transparency/terminal.py" bash --norc --noediting -i -- \
    'ready> ' 'stty -echo\n' 'ready> ' 'trap "echo got winch" WINCH\n' 'ready> ' 'sh -c "echo up; cat"\n' \
    'up' 'one\n' 'one' '\x1a' 'Stopped' '' 'ready> ' 'jobs\n' 'ready> ' 'fg\n' 'cat' 'two\n' 'two' '\x03' \
    'ready> ' 'echo status $?\n' 'ready> ' 'sleep 1000 &\n' 'ready> ' 'sh -c "echo up; exec sleep 1001"\n' 'up' '\x1a' 'Stopped' '' \
    'ready> ' 'bg; jobs\n' 'ready> ' 'kill %1; wait %1; echo status $?\n' 'ready> ' 'kill %2; wait %2; echo status $?\n' \
    'ready> ' 'kill -WINCH $$\n' 'ready> ' 'cat | cat\n' '' 'pipe\n' 'pipe' '\x04' 'ready> ' 'sh -c "kill -STOP \\$\\$; echo went on"\n' \
    'Stopped' '' 'ready> ' 'fg\n' 'went on' '' 'ready> ' 'stty -a | grep -c speed; tty | grep -c pts\n' 'ready> ' 'exit 5\n' || echo "status $?"]],
  normal = { { "(%[%d%]) %d+", "%1 PID" } } }

-- }==========================================================================

-- {=========================== languages and their tools ====================

job { name = "cargo", needs = "cargo rustc", seconds = 300,
  setup = [[
mkdir -p hello/src dependency/src
printf '[package]\nname = "hello"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\ndependency = { path = "../dependency" }\n' > hello/Cargo.toml
printf '[package]\nname = "dependency"\nversion = "0.1.0"\nedition = "2021"\n' > dependency/Cargo.toml
echo 'pub fn twice(n: u64) -> u64 { n * 2 }' > dependency/src/lib.rs
cat > hello/src/main.rs <<'END'
fn main() {
    let threads: Vec<_> = (0..8).map(|i| std::thread::spawn(move || dependency::twice(i))).collect();
    let sum: u64 = threads.into_iter().map(|t| t.join().unwrap()).sum();
    let out = std::process::Command::new("echo").arg("from a child").output().unwrap();
    println!("{} {}", sum, String::from_utf8_lossy(&out.stdout));
}
#[test]
fn adds() { assert_eq!(dependency::twice(2), 4); }
END]],
  command = [[
export RUSTUP_HOME="${RUSTUP_HOME:-$OUTER_HOME/.rustup}"; cd hello
cargo build --offline; ./target/debug/hello; cargo test --offline; touch src/main.rs; cargo run --offline --release; cargo clean]],
  normal = { { "[%d.]+m?s", "T" }, { "%-%x+%)", "-HASH)" }, { "Blocking waiting[^\n]*\n", "" },
             { "Removed [^\n]*", "Removed" } } }

job { name = "node", needs = "node npm", package = "nodejs npm", seconds = 120,
  setup = [[
mkdir -p app dependency; cd dependency
echo '{ "name": "dependency", "version": "1.0.0", "main": "index.js", "scripts": { "postinstall": "echo ran > ran" } }' > package.json; echo 'exports.f = (n) => n * 2' > index.js
cd ../app; echo '{ "name": "app", "version": "1.0.0", "scripts": { "start": "node index.js" } }' > package.json
cat > index.js <<'END'
const { execFileSync, spawn } = require('child_process'), fs = require('fs'), net = require('net'), zlib = require('zlib')
const { Worker, isMainThread, parentPort } = require('worker_threads')
if (!isMainThread) { parentPort.postMessage('from a worker'); return }
async function main() {
  console.log(require('dependency').f(21), execFileSync('echo', ['from a child']).toString())
  fs.writeFileSync('file', 'x'.repeat(100000)); console.log(fs.statSync('file').size, fs.readdirSync('.').sort().join(' '))
  try { fs.readFileSync('/none') } catch (e) { console.log(e.code) }
  console.log(await new Promise((done) => new Worker(__filename).on('message', done)))
  console.log(await new Promise((done) => zlib.gzip('y'.repeat(1e6), (e, b) => done(b.length))))
  await new Promise((done) => {
    const server = net.createServer((s) => s.pipe(s)).listen(0, '127.0.0.1', () => {
      const c = net.connect(server.address().port, '127.0.0.1', () => c.end('echoed\n'))
      c.on('data', (d) => console.log(d.toString())).on('close', () => server.close(done))
    })
  })
  const child = spawn('sh', ['-c', 'kill -TERM $$'])
  console.log(...await new Promise((done) => child.on('exit', (code, signal) => done([code, signal]))))
  fs.watch('.', { persistent: false }); setTimeout(() => console.log('later'), 300)
}
main()
END]],
  command = [[cd app; npm install --offline --no-audit --no-fund --no-update-notifier ../dependency
npm start; npm ls]],
  normal = { { " in [%d.]+m?s", " in T" } },
  check = "cd app; cat package-lock.json; find . | grep -v /_cacache | sort" }

job { name = "pip", needs = "python3", package = "python3-venv", sign = "test -d /usr/lib/python3*/ensurepip",
      seconds = 180,
  setup = [[
/usr/bin/python3 - <<'END'
import zipfile
with zipfile.ZipFile("hello-1.0-py3-none-any.whl", "w") as z:
    z.writestr("hello.py", "def main(): print('hello')\n")
    z.writestr("hello-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: hello\nVersion: 1.0\n")
    z.writestr("hello-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: none\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    z.writestr("hello-1.0.dist-info/entry_points.txt", "[console_scripts]\nhello = hello:main\n")
    z.writestr("hello-1.0.dist-info/RECORD", "hello.py,,\nhello-1.0.dist-info/METADATA,,\nhello-1.0.dist-info/WHEEL,,\n"
               "hello-1.0.dist-info/entry_points.txt,,\nhello-1.0.dist-info/RECORD,,\n")
END]],
  command = [[
/usr/bin/python3 -m venv v
v/bin/pip install --no-index ./hello-1.0-py3-none-any.whl; v/bin/hello; v/bin/pip list --format=freeze; v/bin/pip check]],
  check = "find v -name '*.pyc' -prune -o -path '*/setuptools' -prune -o -path '*/pip/*' -prune -o -print | sort; "
    .. "find v -type f | wc -l" }

job { name = "go", needs = "go", package = "golang-go", seconds = 400,
  setup = [[
mkdir hello; cd hello; printf 'module hello\n\ngo 1.19\n' > go.mod
cat > main.go <<'END'
package main

import ("fmt"; "io"; "net"; "os"; "os/exec"; "os/signal"; "sync"; "sync/atomic"; "syscall"; "time")

func main() {
	var wait sync.WaitGroup
	var sum int64
	for i := 0; i < 200; i++ {
		wait.Add(1)
		go func(i int) { defer wait.Done(); time.Sleep(time.Millisecond); atomic.AddInt64(&sum, int64(i)) }(i)
	}
	wait.Wait()
	out, err := exec.Command("sh", "-c", "echo child; exit 3").Output()
	fmt.Println(sum, string(out), err)
	listener, _ := net.Listen("tcp", "127.0.0.1:0")
	go func() { c, _ := listener.Accept(); io.Copy(c, c); c.Close() }()
	c, _ := net.Dial("tcp", listener.Addr().String())
	c.Write([]byte("echoed")); c.(*net.TCPConn).CloseWrite()
	back, _ := io.ReadAll(c)
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGUSR1)
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	fmt.Println(string(back), <-caught)
	_, err = os.ReadFile("/none")
	fmt.Println(err)
}
END
GOFLAGS=-buildvcs=false GOPROXY=off GOCACHE=/mnt/home/cache go build -o native]],
  command = [[
export GOFLAGS=-buildvcs=false GOPROXY=off GOCACHE=/mnt/home/cache; cd hello
echo 'func init() { println("another") }' >> main.go; go build -o hello; ./hello; ./native; go vet; gofmt -l .]],
  check = "sha256sum hello/hello",
  known = { { why = "programs that are linked statically do not run inline (core/host/inline/README.md)",
              hosts = "inline",
              instead = "^> said: lencase: .*/go is linked statically: it cannot run inline" } } }

job { name = "java", needs = "java javac", package = "default-jdk-headless", seconds = 240,
  setup = [[
cat > Hello.java <<'END'
import java.io.*; import java.net.*; import java.nio.file.*; import java.util.concurrent.*;
public class Hello {
  public static void main(String[] args) throws Exception {
    ExecutorService pool = Executors.newFixedThreadPool(8); Future<?>[] f = new Future<?>[100]; int[] sum = { 0 };
    for (int i = 0; i < 100; i++) { int n = i; f[i] = pool.submit(() -> { synchronized (sum) { sum[0] += n; } }); }
    for (Future<?> one : f) one.get(); pool.shutdown(); System.out.println(sum[0]);
    Process p = new ProcessBuilder("sh", "-c", "echo child; exit 3").start();
    System.out.println(new String(p.getInputStream().readAllBytes()) + p.waitFor());
    try (ServerSocket s = new ServerSocket(0, 5, InetAddress.getLoopbackAddress())) {
      new Thread(() -> { try (Socket c = s.accept()) { c.getInputStream().transferTo(c.getOutputStream()); } catch (IOException e) { } }).start();
      try (Socket c = new Socket(s.getInetAddress(), s.getLocalPort())) {
        c.getOutputStream().write("echoed".getBytes()); c.shutdownOutput(); System.out.println(new String(c.getInputStream().readAllBytes())); } }
    try { Files.readString(Path.of("/none")); } catch (NoSuchFileException e) { System.out.println(e); }
    Files.writeString(Path.of("file"), "x".repeat(100000)); System.out.println(Files.size(Path.of("file")));
    byte[][] garbage = new byte[64][]; for (int i = 0; i < 2000; i++) garbage[i % 64] = new byte[1 << 18]; System.gc();
    try { Object o = null; o.hashCode(); } catch (NullPointerException e) { System.out.println("null"); }
    Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("ending"))); System.exit(4);
  }
}
END]],
  command = [[javac Hello.java; java -Xmx256m Hello || echo "status $?"]], check = "sha256sum *.class" }

-- }==========================================================================

-- {================================ servers =================================

job { name = "redis", needs = "redis-server redis-cli redis-benchmark", package = "redis-server", seconds = 120,
  command = [[
redis-server --port 7000 --bind 127.0.0.1 --dir . --save '' --appendonly yes --logfile log > /dev/null & server=$!; trap 'kill $server' EXIT
c='redis-cli -p 7000'; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do if $c ping > ponged 2>&1 && grep -q PONG ponged; then break; fi; sleep 0.2; done
$c ping; redis-benchmark -p 7000 -n 2000 -c 20 -q -t set,get,incr,lpush,mset > benchmark; tr '\r' '\n' < benchmark | grep -c 'requests per second, p50'
$c set a 1; $c incr a; $c lpush l 1 2 3; $c lrange l 0 -1; $c get counter:__rand_int__; $c llen mylist; $c bgsave
while [ "$($c info persistence | tr -d '\r' | sed -n 's/^rdb_bgsave_in_progress://p')" != 0 ]; do sleep 0.1; done
$c info persistence | tr -d '\r' | grep rdb_last_bgsave_status; $c bgrewriteaof
while [ "$($c info persistence | tr -d '\r' | sed -n 's/^aof_rewrite_in_progress://p')" != 0 ]; do sleep 0.1; done
$c info persistence | tr -d '\r' | grep aof_last_bgrewrite_status; $c dbsize; $c shutdown nosave; wait $server; echo "status $?"; trap - EXIT]],
  check = "redis-check-rdb dump.rdb | grep -c OK; ls" }

job { name = "nginx", needs = "nginx python3", package = "nginx-light", seconds = 90,
  setup = [[
mkdir -p www logs t; seq 100000 > www/numbers; echo hello > www/index.html
cat > nginx.conf <<'END'
daemon off; worker_processes 2; pid nginx.pid; error_log logs/error.log notice;
events { worker_connections 100; }
http { client_body_temp_path t/a; proxy_temp_path t/b; fastcgi_temp_path t/c; uwsgi_temp_path t/d; scgi_temp_path t/e; access_log logs/access.log combined;
  sendfile on; gzip on; gzip_types text/plain; default_type text/plain; etag off;
  server { listen 127.0.0.1:8080; root www; location /up { proxy_pass http://127.0.0.1:8080/numbers; }
    location /put { root .; client_max_body_size 9m; proxy_pass http://127.0.0.1:8080/; } } }
END
cat > client.py <<'END'
import concurrent.futures, hashlib, time, urllib.error, urllib.request
def get(path, **more):
    try:
        with urllib.request.urlopen(urllib.request.Request("http://127.0.0.1:8080" + path, **more)) as answer:
            return answer.status, hashlib.sha256(answer.read()).hexdigest()
    except urllib.error.HTTPError as e:
        return e.code, ""
for _ in range(100):
    try: get("/"); break
    except urllib.error.URLError: time.sleep(0.1)
for path in "/", "/numbers", "/up", "/none": print(path, *get(path))
print(get("/numbers", headers={"Range": "bytes=10-5000"}), get("/numbers", headers={"Accept-Encoding": "gzip"})[0], get("/put", data=b"x" * 3000000))
with concurrent.futures.ThreadPoolExecutor(10) as pool: print(set(pool.map(get, ["/numbers", "/up"] * 100)))
END]],
  command = [[
nginx -p "$PWD" -c nginx.conf & server=$!; trap 'kill $server' EXIT
python3 client.py; kill -HUP $server; sleep 0.5; python3 client.py
nginx -p "$PWD" -c nginx.conf -s quit; wait $server; echo "status $?"; trap - EXIT]],
  ignore = "err",
  check = [[awk '{ print $9 }' logs/access.log | sort | uniq -c
grep -c '\[\(alert\|crit\|emerg\)\]' logs/error.log || :]] }

job { name = "postgres", needs = "initdb pg_ctl pgbench psql", package = "postgresql", seconds = 240,
  command = [[
initdb -D data -A trust --no-sync > init.log; tail -n 1 init.log
trap 'pg_ctl -D data -m immediate stop' EXIT
pg_ctl -D data -w -l log -o "-k /mnt/tmp -c listen_addresses=127.0.0.1 -p 5433" start > start.log; export PGHOST=/mnt/tmp PGPORT=5433 PGUSER=user PGDATABASE=postgres
pgbench -i -q -s 1 2> initialised; pgbench -n -c 4 -j 2 -t 50 > bench.log; grep -E 'processed|failed' bench.log
psql -Atc 'select count(*) from pgbench_history; select (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history)'
PGHOST=127.0.0.1 psql -Atc "select count(*), sum(n), md5(string_agg(n::text, ',')) from generate_series(1, 200000) n; set work_mem = '64kB';
  select count(*) from (select n from generate_series(1, 200000) n order by n desc offset 10) t; notify a; select pg_sleep(0.2); checkpoint"; psql -Atc 'vacuum analyze'
psql -Atc "set statement_timeout = 300; select pg_sleep(60)" || echo "status $?"
psql -Atc "set max_parallel_workers_per_gather = 2; set parallel_setup_cost = 0;
  set min_parallel_table_scan_size = 0; select count(*) from pgbench_accounts where abalance is not null"
pg_dump -t pgbench_branches | grep -c COPY; pg_ctl -D data -m fast stop; trap - EXIT; pg_controldata data | grep state]],
  check = [[grep -cE 'PANIC|FATAL|crash' log || :]] }

job { name = "sshd", needs = "sshd ssh ssh-keygen", package = "openssh-server", seconds = 90,
  setup = [[
ssh-keygen -q -t ed25519 -N '' -f host; ssh-keygen -q -t ed25519 -N '' -f key; cp key.pub authorized; seq 200000 > numbers
printf '%s\n' 'Port 2222' 'ListenAddress 127.0.0.1' "HostKey $PWD/host" "AuthorizedKeysFile $PWD/authorized" 'StrictModes no' 'UsePAM no' \
  "PidFile $PWD/pid" 'PasswordAuthentication no' 'Subsystem sftp internal-sftp' > config
echo "[127.0.0.1]:2222 $(cat host.pub)" > known]],
  command = [[
/usr/sbin/sshd -D -f "$PWD/config" -E log & server=$!; trap 'kill $server' EXIT
s="ssh -F none -q -i key -o UserKnownHostsFile=$PWD/known -o IdentitiesOnly=yes -p 2222 user@127.0.0.1"
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do if $s true; then break; fi; sleep 0.2; done
$s 'echo hello; id -u; pwd; echo to stderr >&2; exit 7' || echo "status $?"
$s 'sha256sum' < numbers; $s "cat $PWD/numbers" | sha256sum
$s -N -L 2223:127.0.0.1:2222 & forward=$!
for i in 1 2 3 4 5 6 7 8 9 10; do
  if ssh -F none -q -i key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -p 2223 user@127.0.0.1 echo forwarded; then break; fi; sleep 0.3
done
kill $forward; wait $forward || echo "status $?"; $s 'kill -TERM $$' || echo "status $?"; kill $server; wait $server || echo "status $?"; trap - EXIT]],
  known = { { why = SECCOMP_INLINE, hosts = "inline",
    instead = "^> said: lencase: process %d+ loads a seccomp filter[^\n]+%(process_vm_readv[%l_, ]*rt_sigreturn" } } }

-- }==========================================================================

-- {=============================== sandboxes ================================

job { name = "bwrap", needs = "bwrap", package = "bubblewrap",
  command = [[
bwrap --ro-bind / / --dev /dev --proc /proc --bind /mnt/work /mnt/work --unshare-user --uid 7 --gid 8 --unshare-ipc --unshare-pid --unshare-uts --hostname inside \
  --die-with-parent sh -c 'id -u; id -g; uname -n; ls /proc/self/fd | wc -l; echo $$ > pid; touch /usr/none || echo "status $?"; exit 5' || echo "status $?"
bwrap --ro-bind / / --tmpfs /mnt/tmp --new-session --unshare-net sh -c 'ls /mnt/tmp; cat /proc/net/dev | wc -l']],
  check = "cat pid",
  known = { { why = FDS_INLINE, hosts = "inline", lines = "^[<>] out: [46]$" } } }

job { name = "bwrap-seccomp", needs = "bwrap perl", package = "bubblewrap",
  setup = [[perl -e 'print pack("SCCL", 0x20, 0, 0, 0), pack("SCCL", 0x15, 0, 1, 83),
  pack("SCCL", 6, 0, 0, 0x50001), pack("SCCL", 6, 0, 0, 0x7fff0000)' > filter]],
  command = [[bwrap --ro-bind / / --bind /mnt/work /mnt/work --seccomp 9 \
  sh -c 'cat filter | wc -c; mkdir d || echo "status $?"; sh -c "echo child"' 9< filter]] }

job { name = "chromium", needs = "chromium", seconds = 180,
  setup = [[echo '<p id=a>before</p><script>
document.getElementById("a").textContent = [1,2,3].map(n => n * 2).join()</script>' > page.html]],
  command = [[
chromium --headless --no-sandbox --disable-gpu --no-first-run --user-data-dir=/mnt/home/c --dump-dom 'data:text/html,<p>hello</p><script>document.title = 6 * 7</script>'
chromium --headless --no-sandbox --disable-gpu --no-first-run --user-data-dir=/mnt/home/c --dump-dom "file://$PWD/page.html"
chromium --headless --no-sandbox --disable-gpu --no-first-run --user-data-dir=/mnt/home/c --screenshot=shot.png --window-size=300,200 "file://$PWD/page.html"]],
  ignore = "err", check = "sha256sum shot.png" }

-- }==========================================================================

return jobs

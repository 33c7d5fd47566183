// peers.go - the rows of the peers in Go, run as harness.c says.
//
// Time is handed over where a peer takes it, which spares it the clock: AllowN
// of x/time, and the Clock of cenkalti/backoff.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/cenkalti/backoff"
	"github.com/golang/groupcache/consistenthash"
	"github.com/juju/ratelimit"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

const (
	chunk        = 64 // calls between two looks at the other
	step         = 100 * time.Nanosecond
	perSecond    = 3000000
	burst        = 1000000000
	slots        = 64
	keysCount    = 4096
	points       = 160
	waitsOfACall = 4
)

// Each thread has one to itself.
type lane struct {
	now   time.Time
	drawn int
	_     [64]byte
}

// run makes n calls; returns how many did not end as the row claims.
type row struct {
	name, peer, note string
	threads          int
	run              func(l *lane, n int) int
}

var (
	rows  []row
	lanes [2]lane
	keys  [keysCount]string
)

func init() {
	runtime.LockOSThread() // the first thread is the one that is pinned
}

func add(name, peer, note string, run func(l *lane, n int) int) {
	rows = append(rows, row{name, peer, note, 1, run})
}

func addTwice(name, peer, note string, run func(l *lane, n int) int) {
	add(name, peer, note, run)
	rows = append(rows, row{name + "_2t", peer, "", 2, run})
}

func count(wrong *int, isWrong bool) {
	if isWrong {
		*wrong++
	}
}

func addClock() {
	add("clock", "Go", "", func(l *lane, n int) (wrong int) {
		for ; n > 0; n-- {
			count(&wrong, time.Now().IsZero())
		}
		return
	})
}

func addRate() {
	given := rate.NewLimiter(perSecond, burst)
	addTwice("bucket_take", "Go x/time/rate", "AllowN at a given time",
		func(l *lane, n int) (wrong int) {
			for ; n > 0; n-- {
				l.now = l.now.Add(step)
				count(&wrong, !given.AllowN(l.now, 1))
			}
			return
		})
	timed := rate.NewLimiter(perSecond, burst)
	addTwice("bucket_take_timed", "Go x/time/rate", "Allow",
		func(l *lane, n int) (wrong int) {
			for ; n > 0; n-- {
				count(&wrong, !timed.Allow())
			}
			return
		})
	empty := rate.NewLimiter(rate.Every(100*time.Hour), 1)
	empty.Allow()
	add("bucket_refused", "Go x/time/rate", "",
		func(l *lane, n int) (wrong int) {
			for ; n > 0; n-- {
				l.now = l.now.Add(step)
				count(&wrong, empty.AllowN(l.now, 1))
			}
			return
		})
}

func addJuju() {
	timed := ratelimit.NewBucketWithRate(perSecond, burst)
	addTwice("bucket_take_timed", "Go juju/ratelimit", "TakeAvailable",
		func(l *lane, n int) (wrong int) {
			for ; n > 0; n-- {
				count(&wrong, timed.TakeAvailable(1) != 1)
			}
			return
		})
	empty := ratelimit.NewBucket(100*time.Hour, 1)
	empty.TakeAvailable(1)
	add("bucket_refused_timed", "Go juju/ratelimit", "",
		func(l *lane, n int) (wrong int) {
			for ; n > 0; n-- {
				count(&wrong, empty.TakeAvailable(1) != 0)
			}
			return
		})
}

func addSemaphore() {
	free := semaphore.NewWeighted(slots)
	addTwice("bulkhead_pair", "Go x/sync/semaphore",
		"TryAcquire, Release; weighted, has waiters in a queue",
		func(l *lane, n int) (wrong int) {
			for ; n > 0; n-- {
				count(&wrong, !free.TryAcquire(1))
				free.Release(1)
			}
			return
		})
	full := semaphore.NewWeighted(1)
	full.TryAcquire(1)
	add("bulkhead_refused", "Go x/sync/semaphore", "",
		func(l *lane, n int) (wrong int) {
			for ; n > 0; n-- {
				count(&wrong, full.TryAcquire(1))
			}
			return
		})
}

type givenClock struct{ l *lane }

func (c givenClock) Now() time.Time { return c.l.now }

func addBackoff() {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = 100 * time.Millisecond
	b.MaxInterval = 5 * time.Second
	b.Multiplier = 2
	b.MaxElapsedTime = 0
	b.RandomizationFactor = 1
	b.Clock = givenClock{&lanes[0]}
	add("backoff_next", "Go cenkalti/backoff",
		"a random generator that all share behind a mutex; no deadline",
		func(l *lane, n int) (wrong int) {
			for ; n > 0; n-- {
				if l.drawn%waitsOfACall == 0 {
					b.Reset()
				}
				l.drawn++
				l.now = l.now.Add(step)
				count(&wrong, b.NextBackOff() == backoff.Stop)
			}
			return
		})
}

func addRing(nodes int) {
	ring := consistenthash.New(points, nil)
	for i := 0; i < nodes; i++ {
		ring.Add(fmt.Sprintf("10.%d.%d.%d:11211", i/40000, i/200%200,
			i%200+1))
	}
	add("ring_find_"+strconv.Itoa(nodes), "Go groupcache",
		"CRC-32, 160 points a node as ours; no weights, no marks",
		func(l *lane, n int) (wrong int) {
			for ; n > 0; n-- {
				node := ring.Get(keys[l.drawn%keysCount])
				l.drawn++
				count(&wrong, node == "")
			}
			return
		})
}

func stayOn(cpu int) {
	var set [16]uint64
	set[cpu/64] = 1 << (uint(cpu) % 64)
	syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, 0,
		unsafe.Sizeof(set), uintptr(unsafe.Pointer(&set)))
}

type other struct {
	calls, wrong int
	_            [64]byte
	runs, stop   int32
	ended        chan struct{}
}

func (o *other) runUntilStopped(r *row, cpu int) {
	runtime.LockOSThread()
	stayOn(cpu)
	atomic.StoreInt32(&o.runs, 1)
	for atomic.LoadInt32(&o.stop) == 0 {
		o.wrong += r.run(&lanes[1], chunk)
		o.calls += chunk
	}
	close(o.ended)
}

// The time is for as many calls as this thread made: both were at it all the
// time, and what counts is their mean.
func (r *row) together(calls, cpu int) (took float64, wrong int) {
	o := &other{ended: make(chan struct{})}
	lanes[1].now = lanes[0].now
	go o.runUntilStopped(r, cpu)
	for atomic.LoadInt32(&o.runs) == 0 {
	}
	begin, done := time.Now(), 0
	for ; done < calls; done += chunk {
		wrong += r.run(&lanes[0], chunk)
	}
	took = float64(time.Since(begin).Nanoseconds())
	atomic.StoreInt32(&o.stop, 1)
	<-o.ended
	took *= 2 * float64(calls) / float64(done+o.calls)
	return took, wrong + o.wrong
}

func (r *row) alone(calls int) (took float64, wrong int) {
	begin := time.Now()
	wrong = r.run(&lanes[0], calls)
	return float64(time.Since(begin).Nanoseconds()), wrong
}

func prepare() {
	lanes[0].now = time.Now()
	for i := range keys {
		keys[i] = fmt.Sprintf("client-%05d", i)
	}
	addClock()
	addRate()
	addJuju()
	addSemaphore()
	addBackoff()
	for _, nodes := range []int{10, 100, 1000} {
		addRing(nodes)
	}
}

func (r *row) answer(calls, secondCPU int) {
	var took float64
	var wrong int
	if r.threads == 2 {
		took, wrong = r.together(calls, secondCPU)
	} else {
		took, wrong = r.alone(calls)
	}
	if wrong != 0 {
		fmt.Fprintln(os.Stderr, r.name, "ended as it should not")
		os.Exit(1)
	}
	fmt.Printf("%.0f\n", took)
}

func main() {
	var index, calls int
	secondCPU, _ := strconv.Atoi(os.Args[2])
	prepare()
	for _, r := range rows {
		fmt.Printf("%s\t%s\t%s\n", r.name, r.peer, r.note)
	}
	fmt.Println("ready")
	for {
		if _, err := fmt.Scan(&index, &calls); err != nil {
			return
		}
		rows[index].answer(calls, secondCPU)
	}
}

/* Load generator for the ingest benches: MQTT 3.1.1, QoS 1, many connections, one epoll loop, one thread.
 *
 * Three modes:
 *   load   N connections keep W publishes in flight each (or send bursts of one size, or a paced rate) and count
 *          the acknowledgements. Each payload holds device time, sequence and value, 40 to 60 bytes a reading.
 *   probe  one connection publishes at a fixed rate, another subscribes; measured is the time from the write of a
 *          publish to the arrival of the actuation whose payload contains its value. Probe n has the value 1000000
 *          + n; a second publish of 0 after it lets the rule clear, so that the next probe is an edge again.
 *   echo   a server that answers any PUBLISH at once (PUBACK, and the payload to every subscriber): what the same
 *          socket path costs without a node behind it.
 *
 * Prints one JSON object. `cpu_share` is its own processor time over wall time and `idle_share` the part of wall
 * time spent waiting in epoll: near 0 idle would mean that the generator was the bottleneck. In load mode with
 * --report S it prints another object, a line each, every S seconds before that one: what came since the last.
 *
 * Build: cc -O2 -o load load.c
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONNECTIONS 4096
#define MAX_WINDOW 4096
#define IN_SIZE 65536
#define DRAIN_NS 5000000000LL

enum { TO_CONNECT, RUNNING, CLOSED };

struct options {
    const char *host, *prefix, *subscribe, *value, *stamp;
    int port, connections, window, readings, burst, id_base, text;
    double seconds, warmup, rate, report;
    long long total;
};

struct connection {
    int fd, state, in_length;
    size_t out_length, out_done, out_capacity;
    uint8_t *out;
    uint8_t in[IN_SIZE];
    uint16_t next_id;
    int in_flight;
    uint64_t acked, sequence, noise;
    double level;
    long long sent_at[MAX_WINDOW]; /* by packet id modulo the window's capacity */
    bool subscriber;
    long long forced; /* hundredths of the next value, or -1 */
    char topic[96];
    int topic_length;
};

static struct connection *connections[MAX_CONNECTIONS];
static struct options opt = {"127.0.0.1", "bench", "", "walk", "t", 1883, 100, 20, 1, 0, 0, 0, 5.0, 1.0, 0.0, 0.0, 0};
static int epoll_fd;
static volatile sig_atomic_t stopping;

/* Latency histogram: 64 powers of two, 32 steps each; error below 3.2 %. */
static uint64_t histogram[64 * 32], reported[64 * 32];
static long long latency_max, reported_max;
static uint64_t acked, acked_bytes, measured_acked, failed, total_sent;
static bool measuring;

static void die(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static long long now_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int bucket_of(uint64_t ns)
{
    if (ns < 32)
        return (int)ns;
    int power = 63 - __builtin_clzll(ns);
    return (power - 4) * 32 + (int)((ns >> (power - 5)) & 31);
}

static double bucket_ns(int bucket)
{
    if (bucket < 32)
        return bucket;
    int power = bucket / 32 + 4;
    return (double)(1ULL << power) * (1.0 + (bucket % 32 + 0.5) / 32.0);
}

static void record(long long ns)
{
    if (ns < 0)
        ns = 0;
    histogram[bucket_of((uint64_t)ns)]++;
    if (ns > latency_max)
        latency_max = ns;
}

static double percentile_us(double share)
{
    uint64_t all = 0, seen = 0;
    for (int i = 0; i < 64 * 32; i++)
        all += histogram[i];
    if (!all)
        return 0;
    uint64_t wanted = (uint64_t)(share * (double)all);
    for (int i = 0; i < 64 * 32; i++) {
        seen += histogram[i];
        if (seen > wanted)
            return bucket_ns(i) / 1000.0 < latency_max / 1000.0 ? bucket_ns(i) / 1000.0 : latency_max / 1000.0;
    }
    return latency_max / 1000.0;
}

static uint8_t *room(struct connection *c, size_t more)
{
    if (c->out_length + more > c->out_capacity) {
        c->out_capacity = (c->out_length + more) * 2;
        c->out = realloc(c->out, c->out_capacity);
        if (!c->out)
            die("memory");
    }
    return c->out + c->out_length;
}

static void watch(struct connection *c, uint32_t events, int operation)
{
    struct epoll_event e = {.events = events, .data.ptr = c};
    if (epoll_ctl(epoll_fd, operation, c->fd, &e))
        die("epoll_ctl");
}

static void lose(struct connection *c)
{
    if (c->state == CLOSED)
        return;
    failed++;
    c->state = CLOSED;
    epoll_ctl(epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
    close(c->fd);
}

static void flush_out(struct connection *c)
{
    bool blocked = false;
    while (c->state != CLOSED && c->out_done < c->out_length) {
        ssize_t n = send(c->fd, c->out + c->out_done, c->out_length - c->out_done, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            blocked = true;
            break;
        }
        if (n < 0) {
            lose(c);
            return;
        }
        c->out_done += (size_t)n;
    }
    if (c->out_done == c->out_length)
        c->out_done = c->out_length = 0;
    if (blocked)
        watch(c, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
}

static char *digits(char *at, uint64_t n)
{
    char reversed[20];
    int length = 0;
    do
        reversed[length++] = (char)('0' + n % 10);
    while (n /= 10);
    while (length)
        *at++ = reversed[--length];
    return at;
}

static char *text(char *at, const char *what)
{
    size_t length = strlen(what);
    memcpy(at, what, length);
    return at + length;
}

/* A reading's value in hundredths. `walk` changes slowly (a 5 % dead band drops nearly all), `jump` always far. */
static uint64_t next_value(struct connection *c)
{
    if (c->forced >= 0)
        return (uint64_t)c->forced;
    c->noise = c->noise * 6364136223846793005ULL + 1442695040888963407ULL;
    double noise = (double)(c->noise >> 40) / (double)(1 << 24) - 0.5;
    if (opt.value[0] == 'j')
        return (c->sequence & 1 ? 4000 : 2000) + (uint64_t)((noise + 0.5) * 200);
    c->level += noise * 0.2 + (60.0 - c->level) * 0.0005;
    return (uint64_t)(c->level * 100.0);
}

/* Text that no compressor can shrink below three quarters: six random bits a character. */
static char *long_reading(struct connection *c, char *at, uint64_t wall)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    at = text(text(text(at, "{\""), opt.stamp), "\":");
    at = digits(at, wall);
    at = text(at, ",\"v\":\"");
    for (int i = 0; i < opt.text; i++) {
        c->noise = c->noise * 6364136223846793005ULL + 1442695040888963407ULL;
        *at++ = letters[c->noise >> 58];
    }
    c->sequence++;
    return text(at, "\"}");
}

static char *reading(struct connection *c, char *at, uint64_t wall)
{
    uint64_t value = next_value(c);
    if (opt.text)
        return long_reading(c, at, wall);
    at = text(text(text(at, "{\""), opt.stamp), "\":");
    at = digits(at, wall);
    at = text(at, ",\"s\":");
    at = digits(at, c->sequence++);
    at = text(at, ",\"v\":");
    at = digits(at, value / 100);
    *at++ = '.';
    *at++ = (char)('0' + value / 10 % 10);
    *at++ = (char)('0' + value % 10);
    *at++ = '}';
    return at;
}

static void put_publish(struct connection *c, long long at_ns, uint64_t wall)
{
    size_t most = (size_t)opt.readings * (80 + (size_t)opt.text) + 160;
    uint8_t *start = room(c, most);
    /* Payload first, at a fixed distance, then the header is set before it. */
    char *payload = (char *)start + 160;
    char *end = payload;
    if (opt.readings > 1)
        *end++ = '[';
    for (int i = 0; i < opt.readings; i++) {
        if (i)
            *end++ = ',';
        end = reading(c, end, wall + (uint64_t)i);
    }
    if (opt.readings > 1)
        *end++ = ']';
    size_t payload_length = (size_t)(end - payload);
    if ((uint64_t)payload_length > 60000) {
        fputs("load: a payload above 60000 bytes\n", stderr);
        exit(2);
    }
    size_t remaining = 2 + (size_t)c->topic_length + 2 + payload_length;
    uint8_t *head = start;
    *head++ = 0x32; /* PUBLISH, QoS 1 */
    for (size_t left = remaining;;) {
        uint8_t byte = left & 127;
        left >>= 7;
        *head++ = left ? byte | 128 : byte;
        if (!left)
            break;
    }
    *head++ = (uint8_t)(c->topic_length >> 8);
    *head++ = (uint8_t)c->topic_length;
    memcpy(head, c->topic, (size_t)c->topic_length);
    head += c->topic_length;
    if (++c->next_id == 0)
        c->next_id = 1;
    *head++ = (uint8_t)(c->next_id >> 8);
    *head++ = (uint8_t)c->next_id;
    memmove(head, payload, payload_length);
    head += payload_length;
    c->out_length += (size_t)(head - start);
    c->sent_at[c->next_id % MAX_WINDOW] = at_ns;
    c->in_flight++;
    total_sent++;
    acked_bytes += payload_length;
}

static void put_connect(struct connection *c, int number)
{
    char id[32];
    int id_length = snprintf(id, sizeof id, "load-%d", number + opt.id_base);
    uint8_t *p = room(c, 64);
    *p++ = 0x10;
    *p++ = (uint8_t)(12 + id_length);
    memcpy(p, "\0\4MQTT\4\2\0\0\0", 10); /* 3.1.1, clean session, keep-alive off */
    p += 10;
    *p++ = 0;
    *p++ = (uint8_t)id_length;
    memcpy(p, id, (size_t)id_length);
    c->out_length += (size_t)(14 + id_length);
}

static void put_subscribe(struct connection *c, const char *filter)
{
    size_t length = strlen(filter);
    uint8_t *p = room(c, length + 16);
    *p++ = 0x82;
    *p++ = (uint8_t)(length + 5);
    *p++ = 0;
    *p++ = 1;
    *p++ = (uint8_t)(length >> 8);
    *p++ = (uint8_t)length;
    memcpy(p, filter, length);
    p[length] = 0; /* QoS 0: the actuation is wanted, not its acknowledgement */
    c->out_length += length + 7;
}

static struct connection *open_connection(int number)
{
    struct connection *c = calloc(1, sizeof *c);
    if (!c)
        die("memory");
    c->noise = (uint64_t)number * 2654435761ULL + 12345;
    c->level = 20.0 + number % 80;
    c->forced = -1;
    c->topic_length = snprintf(c->topic, sizeof c->topic, "%s/c%d", opt.prefix, number + opt.id_base);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port)};
    if (inet_pton(AF_INET, opt.host, &address.sin_addr) != 1)
        die("--host must be an IPv4 address");
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof address))
        die("connect");
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    put_connect(c, number);
    watch(c, EPOLLIN, EPOLL_CTL_ADD);
    flush_out(c);
    return c;
}

/* One packet from the node; returns its length or 0 when it is not complete. */
static int packet_length(const uint8_t *p, int length, int *header)
{
    int multiplier = 0, remaining = 0, i = 1;
    for (;; i++, multiplier += 7) {
        if (i >= length || i > 4)
            return 0;
        remaining |= (p[i] & 127) << multiplier;
        if (!(p[i] & 128))
            break;
    }
    *header = i + 1;
    return length >= i + 1 + remaining ? i + 1 + remaining : 0;
}

typedef void (*arrival)(struct connection *, const uint8_t *, int, long long);

static void on_packet(struct connection *c, const uint8_t *p, int header, int length, long long at_ns, arrival got)
{
    switch (p[0] >> 4) {
    case 2:
        if (p[header + 1]) {
            fprintf(stderr, "load: connection refused with code %d\n", p[header + 1]);
            lose(c);
        } else
            c->state = RUNNING;
        break;
    case 4: {
        unsigned id = (unsigned)p[header] << 8 | p[header + 1];
        c->in_flight--;
        c->acked++;
        acked++;
        if (measuring && !got) {
            measured_acked++;
            record(at_ns - c->sent_at[id % MAX_WINDOW]);
        }
        break;
    }
    case 3:
        if (got)
            got(c, p + header, length - header, at_ns);
        break;
    default:
        break;
    }
}

static void on_readable(struct connection *c, arrival got)
{
    ssize_t n = recv(c->fd, c->in + c->in_length, (size_t)(IN_SIZE - c->in_length), 0);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return;
    if (n <= 0) {
        lose(c);
        return;
    }
    long long at_ns = now_ns(CLOCK_MONOTONIC);
    c->in_length += (int)n;
    int done = 0;
    for (;;) {
        int header = 0;
        int length = packet_length(c->in + done, c->in_length - done, &header);
        if (!length)
            break;
        on_packet(c, c->in + done, header, length, at_ns, got);
        if (c->state == CLOSED)
            return;
        done += length;
    }
    memmove(c->in, c->in + done, (size_t)(c->in_length - done));
    c->in_length -= done;
}

static int pump(int timeout_ms, long long *waited, arrival got)
{
    static struct epoll_event events[512];
    long long before = now_ns(CLOCK_MONOTONIC);
    int count = epoll_wait(epoll_fd, events, 512, timeout_ms);
    *waited += now_ns(CLOCK_MONOTONIC) - before;
    for (int i = 0; i < count; i++) {
        struct connection *c = events[i].data.ptr;
        if (c->state == CLOSED)
            continue;
        if (events[i].events & EPOLLOUT) {
            watch(c, EPOLLIN, EPOLL_CTL_MOD);
            flush_out(c);
        }
        if (c->state != CLOSED && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            on_readable(c, got);
    }
    return count;
}

static void connect_all(int count)
{
    long long waited = 0, until = now_ns(CLOCK_MONOTONIC) + 10000000000LL;
    for (int i = 0; i < count; i++)
        connections[i] = open_connection(i);
    for (;;) {
        int running = 0;
        for (int i = 0; i < count; i++)
            running += connections[i]->state == RUNNING;
        if (running == count)
            return;
        if (now_ns(CLOCK_MONOTONIC) > until || failed) {
            fprintf(stderr, "load: only %d of %d connections were accepted\n", running, count);
            exit(1);
        }
        pump(100, &waited, NULL);
    }
}

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void stop(int signal_number)
{
    (void)signal_number;
    stopping = 1;
}

static void fill(struct connection *c, int upto)
{
    if (c->state != RUNNING || c->in_flight >= upto)
        return;
    long long at_ns = now_ns(CLOCK_MONOTONIC);
    uint64_t wall = (uint64_t)now_ns(CLOCK_REALTIME);
    while (c->in_flight < upto && (!opt.total || total_sent < (uint64_t)opt.total)) {
        put_publish(c, at_ns, wall);
        wall += (uint64_t)opt.readings;
    }
    flush_out(c);
}

/* Spread `count` publishes over the connections, starting where the last call ended. */
static void spread(int count)
{
    static int next;
    for (int tried = 0; count > 0 && tried < opt.connections; tried++) {
        struct connection *c = connections[next++ % opt.connections];
        int share = (count + opt.connections - tried - 1) / (opt.connections - tried);
        int most = opt.window - c->in_flight;
        if (share > most)
            share = most;
        if (c->state != RUNNING || share <= 0)
            continue;
        fill(c, c->in_flight + share);
        count -= share;
    }
}

static int in_flight_all(void)
{
    int sum = 0;
    for (int i = 0; i < opt.connections; i++)
        if (connections[i]->state == RUNNING)
            sum += connections[i]->in_flight;
    return sum;
}

/* One line for the time since the last one; what it counted is set aside for the sum at the end. */
static void report(double at)
{
    printf("{\"at\":%.3f,\"sent\":%llu,\"acked\":%llu,\"in_flight\":%d,\"p50_us\":%.1f,\"p99_us\":%.1f,"
           "\"max_us\":%.1f,\"failed\":%llu}\n",
           at, (unsigned long long)total_sent, (unsigned long long)acked, in_flight_all(), percentile_us(0.5),
           percentile_us(0.99), (double)latency_max / 1000.0, (unsigned long long)failed);
    fflush(stdout);
    for (int i = 0; i < 64 * 32; i++) {
        reported[i] += histogram[i];
        histogram[i] = 0;
    }
    if (latency_max > reported_max)
        reported_max = latency_max;
    latency_max = 0;
}

static void sum_reports(void)
{
    for (int i = 0; i < 64 * 32; i++)
        histogram[i] += reported[i];
    if (reported_max > latency_max)
        latency_max = reported_max;
}

static int run_load(void)
{
    connect_all(opt.connections);
    long long began = now_ns(CLOCK_MONOTONIC), measure_from = began + (long long)(opt.warmup * 1e9);
    long long until = measure_from + (long long)(opt.seconds * 1e9), waited = 0, waited_before = 0, ended = 0;
    double cpu_before = cpu_seconds(), cpu_after = 0;
    uint64_t paced = 0, bursts = 0, bytes_before = 0, sent_before = 0;
    long long next_report = began + (long long)(opt.report * 1e9);
    for (;;) {
        long long now = now_ns(CLOCK_MONOTONIC);
        if (!measuring && now >= measure_from) {
            measuring = true;
            measure_from = now;
            cpu_before = cpu_seconds();
            waited_before = waited;
            bytes_before = acked_bytes;
            sent_before = total_sent;
        }
        bool enough = opt.total && acked >= (uint64_t)opt.total;
        if (now >= until || stopping || enough || failed == (uint64_t)opt.connections) {
            ended = now;
            cpu_after = cpu_seconds();
            break;
        }
        if (opt.report > 0 && now >= next_report) {
            report((double)(now - began) / 1e9);
            next_report += (long long)(opt.report * 1e9);
        }
        int timeout = 100;
        if (opt.rate > 0) {
            uint64_t due = (uint64_t)((double)(now - began) / 1e9 * opt.rate / opt.readings);
            if (due > paced) {
                spread((int)(due - paced));
                paced = due;
            }
            timeout = 1;
        } else if (opt.burst > 0) {
            if (in_flight_all() == 0) {
                spread(opt.burst);
                bursts++;
            }
        } else
            for (int i = 0; i < opt.connections; i++)
                fill(connections[i], opt.window);
        pump(timeout, &waited, NULL);
    }
    bool was_measuring = measuring;
    measuring = false;
    uint64_t sent = total_sent - sent_before, bytes = acked_bytes - bytes_before;
    long long waited_measured = waited - waited_before, drain_until = ended + DRAIN_NS;
    while (in_flight_all() > 0 && now_ns(CLOCK_MONOTONIC) < drain_until)
        pump(50, &waited, NULL);
    double seconds = (double)(ended - measure_from) / 1e9;
    if (!was_measuring || seconds <= 0)
        seconds = 1e-9;
    sum_reports();
    printf("{\"acks\":%llu,\"seconds\":%.6f,\"acks_per_s\":%.1f,\"readings_per_s\":%.1f,"
           "\"payload_bytes_per_reading\":%.2f,\"connections\":%d,\"window\":%d,\"readings\":%d,\"bursts\":%llu,"
           "\"latency_us\":{\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p99_9\":%.1f,\"max\":%.1f},"
           "\"cpu_share\":%.4f,\"idle_share\":%.4f,\"failed\":%llu,\"total_sent\":%llu,\"total_acked\":%llu,"
           "\"total_payload_bytes\":%llu,\"acked_by_connection\":[",
           (unsigned long long)measured_acked, seconds, (double)measured_acked / seconds,
           (double)measured_acked * opt.readings / seconds,
           sent ? (double)bytes / (double)(sent * (uint64_t)opt.readings) : 0.0, opt.connections, opt.window,
           opt.readings, (unsigned long long)bursts, percentile_us(0.5), percentile_us(0.9), percentile_us(0.99),
           percentile_us(0.999), (double)latency_max / 1000.0, (cpu_after - cpu_before) / seconds,
           (double)waited_measured / 1e9 / seconds, (unsigned long long)failed, (unsigned long long)total_sent,
           (unsigned long long)acked, (unsigned long long)acked_bytes);
    for (int i = 0; i < opt.connections; i++)
        printf("%s%llu", i ? "," : "", (unsigned long long)connections[i]->acked);
    printf("]}\n");
    return failed ? 1 : 0;
}

/* When each probe was written, in a ring; 0 once it was answered. */
#define PROBES 65536
#define FIRST_PROBE 1000000ULL
static long long probes[PROBES];
static uint64_t probes_sent, probes_found;

static void on_actuation(struct connection *c, const uint8_t *body, int length, long long at_ns)
{
    (void)c;
    /* The first run of exactly 7 digits that begins with 1 is the value that came back. */
    for (int i = 0; i < length; i++) {
        int run = 0;
        uint64_t value = 0;
        for (; i + run < length && body[i + run] >= '0' && body[i + run] <= '9'; run++)
            value = value * 10 + (uint64_t)(body[i + run] - '0');
        if (run == 7 && value >= FIRST_PROBE && value < FIRST_PROBE + probes_sent) {
            long long *at = &probes[(value - FIRST_PROBE) % PROBES];
            if (*at && measuring) {
                record(at_ns - *at);
                probes_found++;
            }
            *at = 0;
            return;
        }
        i += run;
    }
}

static int run_probe(void)
{
    opt.connections = 2;
    connect_all(2);
    struct connection *south = connections[0], *listener = connections[1];
    long long waited = 0;
    put_subscribe(listener, opt.subscribe);
    flush_out(listener);
    for (int i = 0; i < 20; i++)
        pump(10, &waited, NULL);
    long long began = now_ns(CLOCK_MONOTONIC), measure_from = began + (long long)(opt.warmup * 1e9);
    long long until = measure_from + (long long)(opt.seconds * 1e9), period = (long long)(1e9 / opt.rate), due = began;
    uint64_t measured_from = 0;
    while (!stopping && !failed) {
        long long now = now_ns(CLOCK_MONOTONIC);
        if (!measuring && now >= measure_from) {
            measuring = true;
            measured_from = probes_sent;
        }
        if (now >= until)
            break;
        if (now >= due && south->in_flight < opt.window) {
            due += period;
            if (due < now)
                due = now;
            uint64_t wall = (uint64_t)now_ns(CLOCK_REALTIME);
            south->forced = (long long)(FIRST_PROBE + probes_sent) * 100;
            put_publish(south, now, wall);
            probes[probes_sent % PROBES] = now_ns(CLOCK_MONOTONIC);
            probes_sent++;
            flush_out(south);
            south->forced = 0;
            put_publish(south, now, wall + 1);
            flush_out(south);
        }
        long long left = due - now_ns(CLOCK_MONOTONIC);
        pump(left > 1000000 ? (int)(left / 1000000) : 0, &waited, on_actuation);
    }
    for (int i = 0; i < 100 && !failed; i++)
        pump(10, &waited, on_actuation);
    printf("{\"probes\":%llu,\"answered\":%llu,\"latency_us\":{\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,"
           "\"p99_9\":%.1f,\"max\":%.1f},\"failed\":%llu,\"histogram_us\":[",
           (unsigned long long)(probes_sent - measured_from), (unsigned long long)probes_found,
           percentile_us(0.5), percentile_us(0.9), percentile_us(0.99), percentile_us(0.999),
           (double)latency_max / 1000.0, (unsigned long long)failed);
    const char *comma = "";
    for (int i = 0; i < 64 * 32; i++)
        if (histogram[i]) {
            printf("%s[%.2f,%llu]", comma, bucket_ns(i) / 1000.0, (unsigned long long)histogram[i]);
            comma = ",";
        }
    printf("]}\n");
    return failed ? 1 : 0;
}

static void answer(struct connection *c, const uint8_t *p, int header, int length)
{
    uint8_t *out;
    switch (p[0] >> 4) {
    case 1:
        out = room(c, 4);
        memcpy(out, "\x20\2\0\0", 4);
        c->out_length += 4;
        c->state = RUNNING;
        break;
    case 8:
        out = room(c, 5);
        memcpy(out, "\x90\3\0\1\0", 5);
        c->out_length += 5;
        c->subscriber = true;
        break;
    case 3: {
        int topic = p[header] << 8 | p[header + 1];
        const uint8_t *id = p + header + 2 + topic;
        if (header + 4 + topic > length)
            break;
        out = room(c, 4);
        memcpy(out, "\x40\2", 2);
        memcpy(out + 2, id, 2);
        c->out_length += 4;
        int payload = length - header - 4 - topic;
        for (int i = 0; i < MAX_CONNECTIONS; i++) {
            struct connection *to = connections[i];
            if (!to || to->state != RUNNING || !to->subscriber || payload > 100)
                continue;
            out = room(to, (size_t)payload + 8);
            memcpy(out, "\x30\0\0\1e", 5);
            out[1] = (uint8_t)(3 + payload);
            memcpy(out + 5, id + 2, (size_t)payload);
            to->out_length += (size_t)payload + 5;
            if (to != c)
                flush_out(to);
        }
        break;
    }
    default:
        break;
    }
}

static int run_echo(void)
{
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1, count = 0;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 128))
        die("listen");
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &e);
    while (!stopping) {
        struct epoll_event events[64];
        int ready = epoll_wait(epoll_fd, events, 64, 200);
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            if (!c) {
                int fd = accept(listener, NULL, NULL);
                if (fd < 0 || count == MAX_CONNECTIONS)
                    continue;
                c = connections[count++] = calloc(1, sizeof *c);
                if (!c)
                    die("memory");
                c->fd = fd;
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                fcntl(fd, F_SETFL, O_NONBLOCK);
                watch(c, EPOLLIN, EPOLL_CTL_ADD);
                continue;
            }
            if (c->state == CLOSED)
                continue;
            if (events[i].events & EPOLLOUT)
                watch(c, EPOLLIN, EPOLL_CTL_MOD);
            ssize_t n = recv(c->fd, c->in + c->in_length, (size_t)(IN_SIZE - c->in_length), 0);
            if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
                continue;
            if (n <= 0) {
                lose(c);
                continue;
            }
            c->in_length += (int)n;
            int done = 0, header = 0, length;
            while ((length = packet_length(c->in + done, c->in_length - done, &header))) {
                answer(c, c->in + done, header, length);
                done += length;
            }
            memmove(c->in, c->in + done, (size_t)(c->in_length - done));
            c->in_length -= done;
            flush_out(c);
        }
    }
    return 0;
}

static const char *usage =
    "usage: load [load|probe|echo] --port N [--host A] [--connections N] [--window W] [--readings R] [--burst G]\n"
    "            [--rate READINGS_PER_S] [--seconds S] [--warmup S] [--total PUBLISHES] [--prefix TOPIC]\n"
    "            [--value walk|jump] [--text BYTES] [--subscribe FILTER] [--id-base N]\n"
    "            [--stamp KEY_OF_TIME]\n"
    "            [--report S]\n";

int main(int argc, char **argv)
{
    const char *mode = "load";
    int i = 1;
    if (argc > 1 && argv[1][0] != '-')
        mode = argv[i++];
    for (; i + 1 < argc; i += 2) {
        const char *name = argv[i], *value = argv[i + 1];
        if (!strcmp(name, "--host")) opt.host = value;
        else if (!strcmp(name, "--port")) opt.port = atoi(value);
        else if (!strcmp(name, "--connections")) opt.connections = atoi(value);
        else if (!strcmp(name, "--window")) opt.window = atoi(value);
        else if (!strcmp(name, "--readings")) opt.readings = atoi(value);
        else if (!strcmp(name, "--burst")) opt.burst = atoi(value);
        else if (!strcmp(name, "--text")) opt.text = atoi(value);
        else if (!strcmp(name, "--id-base")) opt.id_base = atoi(value);
        else if (!strcmp(name, "--rate")) opt.rate = atof(value);
        else if (!strcmp(name, "--seconds")) opt.seconds = atof(value);
        else if (!strcmp(name, "--warmup")) opt.warmup = atof(value);
        else if (!strcmp(name, "--report")) opt.report = atof(value);
        else if (!strcmp(name, "--total")) opt.total = atoll(value);
        else if (!strcmp(name, "--prefix")) opt.prefix = value;
        else if (!strcmp(name, "--value")) opt.value = value;
        else if (!strcmp(name, "--subscribe")) opt.subscribe = value;
        else if (!strcmp(name, "--stamp")) opt.stamp = value;
        else break;
    }
    if (i != argc || opt.connections < 1 || opt.connections > MAX_CONNECTIONS || opt.window < 1 ||
        opt.window > MAX_WINDOW || opt.readings < 1 || strlen(opt.prefix) > 64) {
        fputs(usage, stderr);
        return 2;
    }
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    epoll_fd = epoll_create1(0);
    if (epoll_fd < 0)
        die("epoll_create1");
    if (!strcmp(mode, "load"))
        return run_load();
    if (!strcmp(mode, "probe") && opt.rate > 0)
        return run_probe();
    if (!strcmp(mode, "echo"))
        return run_echo();
    fputs(usage, stderr);
    return 2;
}

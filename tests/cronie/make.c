/* Makes tests/schedule/cronie.txt: when cronie 1.7.2 runs a job, from its own code: load_entry reads the expression, find_jobs decides, and
 * the loop of its main (whose classification of clock changes is copied below, unchanged) is driven by a clock of ours, a minute at a time. */
#include <time.h>
static time_t NOW;
static time_t fake_time(time_t *t) { if (t) *t = NOW; return NOW; }
#define time(x) fake_time(x)
#define main cron_main
#define job_add record
static int ADDED;
/* As in its main. */

#include "src/cron.c"
#undef main
#undef job_add
void record(entry *e, user *u) { (void)e; (void)u; ADDED = 1; }
static void bad(const char *s) { fprintf(stderr, "bad: %s\n", s); }
int main(int argc, char **argv) {
	/* zone, start (UTC), how many, horizon in days, expression */
	const char *zone = argv[1]; time_t start = atol(argv[2]); int many = atoi(argv[3]); long horizon = atol(argv[4]); const char *expr = argv[5];
	(void)argc;
	char line[300]; snprintf(line, sizeof line, "%s true\n", expr);
	FILE *f = fmemopen(line, strlen(line), "r");
	struct passwd *pw = getpwuid(0);
	char *envp[] = { "SHELL=/bin/sh", "HOME=/", "LOGNAME=root", NULL };
	Set_LineNum(1);
	entry *e = load_entry(f, bad, pw, envp);
	if (!e) { printf("%s\t%s\t%ld\t%ld\trefused\n", zone, expr, (long)start, horizon); return 0; }
	user u; memset(&u, 0, sizeof u); u.crontab = e;
	cron_db db; memset(&db, 0, sizeof db); db.head = db.tail = &u;
	setenv("TZ", zone, 1); tzset();
	long oldGMToff; NOW = start; set_time(TRUE);
	timeRunning = virtualTime = clockTime; oldGMToff = GMToff;
	printf("%s\t%s\t%ld\t%ld", zone, expr, (long)start, horizon);
	int found = 0;
	for (long m = 0; m < horizon * 1440 && found < many; m++) {
		NOW += 60; ADDED = 0;
		set_time(FALSE);
		if (clockTime == timeRunning) continue;
		timeRunning = clockTime;
		int timeDiff = timeRunning - virtualTime;
		if (timeDiff == 1) {
			virtualTime = timeRunning; oldGMToff = GMToff;
			find_jobs(virtualTime, &db, TRUE, TRUE, oldGMToff);
		} else {
			enum timejump wakeupKind;
			if (timeDiff > (3 * MINUTE_COUNT) || timeDiff < -(3 * MINUTE_COUNT)) wakeupKind = large;
			else if (timeDiff > 5) wakeupKind = medium;
			else if (timeDiff > 0) wakeupKind = small;
			else wakeupKind = negative;
			switch (wakeupKind) {
			case small:
				do { virtualTime++; if (virtualTime >= timeRunning) oldGMToff = GMToff;
					find_jobs(virtualTime, &db, TRUE, TRUE, oldGMToff); } while (virtualTime < timeRunning);
				break;
			case medium:
				find_jobs(timeRunning, &db, TRUE, FALSE, GMToff);
				do { virtualTime++; if (virtualTime >= timeRunning) oldGMToff = GMToff;
					find_jobs(virtualTime, &db, FALSE, TRUE, oldGMToff); set_time(FALSE);
				} while (virtualTime < timeRunning && clockTime == timeRunning);
				break;
			case negative:
				find_jobs(timeRunning, &db, TRUE, FALSE, GMToff);
				break;
			default:
				virtualTime = timeRunning; oldGMToff = GMToff;
				find_jobs(timeRunning, &db, TRUE, TRUE, GMToff);
			}
		}
		if (ADDED) { printf("\t%ld", (long)NOW); found++; }
	}
	printf(found < many ? "\tend\n" : "\n");
	return 0;
}

"""Run a module under the profiler by CPU time, which a busy machine does not change: FILE -m MODULE ARGUMENTS…"""

import cProfile
import runpy
import sys
import time


def main() -> None:
    """Write the profile to FILE when the module ends."""
    file, _, module, *rest = sys.argv[1:]
    sys.argv = [module, *rest]
    profile = cProfile.Profile(time.thread_time)
    try:
        profile.runcall(runpy.run_module, module, run_name="__main__", alter_sys=True)
    finally:
        profile.dump_stats(file)


if __name__ == "__main__":
    main()

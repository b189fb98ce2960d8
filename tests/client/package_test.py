#!/usr/bin/env python3
"""Installs librelevo into a temporary prefix and builds the examples against it, as an application would.

  package_test.py BUILD_DIRECTORY EXAMPLES_DIRECTORY COMPILER
"""
import os
import subprocess
import sys
import tempfile


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)}\n{done.stdout}{done.stderr}")
    return done.stdout


def main(build, examples, compiler):
    with tempfile.TemporaryDirectory(prefix="relevo-package-") as root:
        prefix, work = os.path.join(root, "prefix"), os.path.join(root, "work")
        run("cmake", "--install", build, "--component", "client", "--prefix", prefix)
        run("cmake", "-G", "Ninja", "-S", examples, "-B", work, f"-DCMAKE_PREFIX_PATH={prefix}",
            f"-DCMAKE_CXX_COMPILER={compiler}", "-DCMAKE_BUILD_TYPE=Debug")
        run("cmake", "--build", work, "--parallel", "2")
        for program in ("counter", "transfer"):
            asked = subprocess.run([os.path.join(work, program)], capture_output=True, text=True)
            if asked.returncode != 2 or "usage" not in asked.stderr:
                sys.exit(f"{program} does not run: {asked}")
    print("ok")


if __name__ == "__main__":
    main(*sys.argv[1:])

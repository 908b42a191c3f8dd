#!/usr/bin/env bash
# Makes the files of this folder again: ffmpeg 5.1.9 and sox 14.4.2 of Debian 12.
# 440 Hz on the left and 1000 Hz on the right, half of full scale; the shortest lasts 1 s.
set -euo pipefail
cd "$(dirname "$0")"

tones() { # seconds, rate: stereo 16-bit WAV on standard output
  sox -D -n -r "$2" -b 16 -c 2 -t wav - synth "$1" sine 440 sine 1000 vol 0.5
}
make() { # the output's arguments; the input is on standard input
  ffmpeg -loglevel error -y -f wav -i pipe:0 -map_metadata -1 -fflags +bitexact -flags +bitexact "$@"
}

tones 1.5 8000 | make -sample_fmt s32 -bits_per_raw_sample 24 call.flac
tones 2.5 44100 | make -b:a 48k -metadata title="Anruf Müller" call.mp3
sox -D -n -r 8000 -b 16 -c 1 -t wav - synth 2.5 sine 440 vol 0.5 | make -b:a 32k -id3v2_version 0 -write_xing 0 mono-8k.mp3
tones 2.5 48000 | make -b:a 32k call.opus
tones 2.5 32000 | make -c:a libvorbis -q:a 2 call.ogg
tones 2.5 44100 | make -c:a aac -b:a 64k call.m4a
tones 2.5 22050 | make -c:a aac -b:a 48k -movflags +faststart call-faststart.m4a
tones 1.25 8000 | make -c:a alac call-alac.m4a
tones 2.5 16000 | ffmpeg -loglevel error -y -f wav -i pipe:0 -f lavfi -i color=s=32x32:r=5:d=2.5 \
  -fflags +bitexact -flags +bitexact -c:v mpeg4 -c:a aac -b:a 48k -shortest video.mp4
sox -D -n -r 8000 -c 1 -e gsm-full-rate wav49.wav synth 2.5 sine 440 vol 0.5

tones 1.25 8000 | sox -D -t wav - -e a-law -t wav - | cat > sox-streamed-alaw.wav
tones 1.25 8000 | make -c:a pcm_mulaw -f wav pipe:1 | cat > ffmpeg-streamed-mulaw.wav
tones 1.25 8000 | make -c:a pcm_alaw -rf64 always rf64-alaw.wav
tones 1.25 8000 | make -c:a pcm_u8 -write_bext 1 -metadata description="a call" bext-u8.wav
tones 1 8000 | sox -D -t wav - -b 24 sox-24bit.wav

# Nibble in a container:
#   docker build -t nibble .
#   docker run -p 8080:8080 -v /path/to/models:/models -e NIBBLE_API_KEY=... nibble serve /models/model.gguf --host 0.0.0.0
# The build is what a user does on Debian 12; what runs holds the installed package and the libraries it asks for.
FROM debian:12 AS build
WORKDIR /src
COPY . .
RUN scripts/setup \
 && CMAKE_FLAGS="-DNIBBLE_TESTS=OFF" scripts/build release all \
 && apt-get install -y --no-install-recommends file \
 && cd build && cpack -G DEB

FROM debian:12-slim
COPY --from=build /src/build/nibble_*.deb /tmp/
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates /tmp/nibble_*.deb \
 && rm -rf /var/lib/apt/lists/* /tmp/*.deb \
 && useradd --create-home --uid 1000 nibble
USER nibble
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s \
  CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /health HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200 '"]
ENTRYPOINT ["nibble"]
CMD ["--help"]

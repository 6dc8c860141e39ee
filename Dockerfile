# The proxy, the control API and every other command, in an image without a shell or a package manager.
# docker build --tag sallyport .      See docs/container.md.
ARG NODE_VERSION=26.10.0

FROM node:${NODE_VERSION}-bookworm-slim AS build
WORKDIR /build
COPY package.json package-lock.json ./
# No package gets to run a script of its own here.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json README.md LICENSE CHANGELOG.md ./
COPY scripts/build.ts scripts/
COPY src/ src/
RUN node scripts/build.ts \
  && npm prune --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund \
  && mkdir -p /image/opt /image/usr/bin /image/usr/lib /image/usr/local/bin \
  && mv dist /image/opt/sallyport \
  && mv node_modules /image/opt/sallyport/ \
  # Executable and not readable: nobody but root can look into its processes, and they leave no core dump.
  && install --mode 0711 /usr/local/bin/node /image/usr/local/bin/ \
  # The one library of node's that the base below does not have.
  && ldd /usr/local/bin/node | awk '/libatomic/ { print $3 }' \
    | xargs --no-run-if-empty cp --dereference --target-directory /image/usr/lib \
  # `kubectl exec ... -- env` shows the mode; it is also what finds node for the line below.
  && cp /usr/bin/env /image/usr/bin/ \
  && ln -s /opt/sallyport/main.js /image/usr/local/bin/sallyport

# glibc, libstdc++ and CA certificates of the same Debian; nothing to log in to.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /image/ /
ENV NODE_ENV=production
# As a number, so that Kubernetes can see that it is not root.
USER 65532:65532
# Tunnel, health and metrics, management.
EXPOSE 8080 9090 9092
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s \
  CMD ["/usr/local/bin/node", "/opt/sallyport/main.js", "health"]
ENTRYPOINT ["/usr/local/bin/node", "/opt/sallyport/main.js"]
CMD ["start", "--config", "/etc/sallyport/proxy.yaml"]

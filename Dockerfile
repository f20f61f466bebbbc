# The service without any development tool: JavaScript from dist, production dependencies, no root.
#
# The embedded PostgreSQL is an optional dependency and is left out, so that the image holds no database server: DATABASE_URL
# must be given. To have it, drop "--omit=optional" and the "--ignore-scripts" beside it (about 100 MB more) and mount
# a writable FLOWFENCE_DATA_DIR.

FROM node:24.21.0-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY src src
RUN node node_modules/typescript/bin/tsc -p tsconfig.build.json

FROM node:24.21.0-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --omit=optional --ignore-scripts

FROM node:24.21.0-bookworm-slim
ENV NODE_ENV=production
# Loopback inside a container reaches nobody. The service refuses this address unless FLOWFENCE_API_KEY is set.
ENV FLOWFENCE_HOST=0.0.0.0
ENV FLOWFENCE_PORT=8080
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY package.json LICENSE ./
COPY bin bin
COPY migrations migrations
COPY examples examples
# The image's user "node" as a number, so that Kubernetes can check runAsNonRoot. The files belong to root: the service cannot change itself.
USER 1000:1000
EXPOSE 8080
# With HTTPS on FLOWFENCE_PORT give another check; with FLOWFENCE_TLS_PORT this one stays right.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.FLOWFENCE_PORT + '/livez').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "/app/bin/flowfence.mjs"]
CMD ["serve"]

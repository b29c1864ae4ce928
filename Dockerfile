# A small image of Orrery that runs as nobody in particular: `docker build -t orrery .`
#
# It holds no nats-server: in a deployment that is a container of its own (deploy/nomad). Programs of jobs go into an image made
# FROM this one, which the parameterised job of runs then names. Where its node runs programs, of jobs or bridges: `docker run --init`,
# as the first process of a container waits for what they leave behind, and a node does that for its own children only.

# The compiler is a native program for glibc.
FROM node:24-slim AS build
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY scripts ./scripts
COPY src ./src
RUN node_modules/.bin/tsc -p tsconfig.build.json

# Pure JavaScript: what is native among the dependencies is an option of theirs.
FROM node:24-slim AS packages
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund

# Alpine, and not an image without a shell: the process driver's guard is a few lines of sh.
FROM node:24-alpine
WORKDIR /app
COPY --from=packages /app/node_modules ./node_modules
COPY --from=build /src/dist ./dist
COPY package.json LICENSE ./
COPY config ./config
COPY scripts/nats-server ./scripts/nats-server
RUN ln -s /app/dist/bin.js /usr/local/bin/orrery && chmod 755 /app/dist/bin.js
ENV NODE_ENV=production
USER 1000:1000
WORKDIR /tmp
ENTRYPOINT ["/usr/local/bin/orrery"]
CMD ["--help"]

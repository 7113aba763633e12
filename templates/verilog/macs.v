// O sums over K products with P lanes. Takes K numbers, then gives the sums one after another,
// each with its index and, with SQUARES, the sum of the squares of the numbers. A group of P sums
// takes K clocks; the sums of one group leave while the next one is computed. L1: absolute
// differences instead of products, of the number shifted left by LX. W: bits, S: signed.
module crystal_macs #(
    parameter K = 1, parameter O = 1, parameter P = 1, parameter L1 = 0, parameter SQUARES = 0,
    parameter WX = 1, parameter SX = 0, parameter LX = 0, parameter WW = 1, parameter WSUM = 1,
    parameter WSQUARE = 1, parameter WK = 1, parameter WO = 1, parameter WADDRESS = 1
) (
    input  wire clk,
    input  wire rst,
    input  wire in_valid,
    output wire in_ready,
    input  wire [WX-1:0] in_data,
    output wire rom_enable,
    output wire [WADDRESS-1:0] rom_address,
    input  wire [P*WW-1:0] rom_data,
    output wire out_valid,
    input  wire out_ready,
    output wire [WSUM-1:0] out_sum,
    output wire [WSQUARE-1:0] out_square,
    output reg  [WO-1:0] out_index
);
    localparam GROUPS = (O + P - 1) / P;
    localparam WLEFT = $clog2(P + 1);
    localparam [31:0] LAST_K = K - 1;
    localparam [31:0] LAST_STEP = GROUPS * K - 1;
    localparam [31:0] LAST_O = O - 1;
    localparam [31:0] REST = O - (GROUPS - 1) * P;
    localparam [31:0] ALL = P;

    reg [WX-1:0] store [0:K-1];
    reg [WX-1:0] x;
    reg [WK-1:0] fill, k;
    reg [WADDRESS-1:0] step;
    reg running, busy, first, last, final, summed, summed_final;
    reg [WLEFT-1:0] left;
    reg [P*WSUM-1:0] drain;
    wire [P*WSUM-1:0] sums;

    assign in_ready = ~running & ((fill != LAST_K[WK-1:0]) | ~(busy | summed));
    assign out_valid = |left;
    assign out_sum = drain[WSUM-1:0];
    assign rom_address = step;
    assign rom_enable = ~(summed & out_valid);
    wire load = in_valid & in_ready;
    wire filled = load & (fill == LAST_K[WK-1:0]);
    wire done = summed & ~out_valid;

    always @(posedge clk) begin
        if (load) store[fill] <= in_data;
        if (rom_enable) begin
            x <= store[k];
            first <= ~|k;
            last <= k == LAST_K[WK-1:0];
            final <= step == LAST_STEP[WADDRESS-1:0];
            summed_final <= final;
        end
        if (rst) begin
            {running, busy, summed, fill, k, step} <= 0;
        end else begin
            if (load) fill <= filled ? {WK{1'b0}} : fill + 1'b1;
            if (filled) running <= 1'b1;
            if (rom_enable) {busy, summed} <= {running, busy & last};
            if (rom_enable & running) begin
                k <= (k == LAST_K[WK-1:0]) ? {WK{1'b0}} : k + 1'b1;
                step <= (step == LAST_STEP[WADDRESS-1:0]) ? {WADDRESS{1'b0}} : step + 1'b1;
                if (step == LAST_STEP[WADDRESS-1:0]) running <= 1'b0;
            end
        end
    end

    always @(posedge clk) begin
        if (done) drain <= sums;
        else if (out_ready) drain <= drain >> WSUM;
        if (rst) begin
            left <= 0;
            out_index <= 0;
        end else begin
            if (done) left <= summed_final ? REST[WLEFT-1:0] : ALL[WLEFT-1:0];
            else if (out_valid & out_ready) left <= left - 1'b1;
            if (out_valid & out_ready)
                out_index <= (out_index == LAST_O[WO-1:0]) ? {WO{1'b0}} : out_index + 1'b1;
        end
    end

    genvar p;
    generate
        for (p = 0; p < P; p = p + 1) begin : lane
            crystal_lane #(L1, WX, SX, LX, WW, WSUM) mac (
                clk, rom_enable & busy, first, x, rom_data[p*WW +: WW], sums[p*WSUM +: WSUM]
            );
        end
        if (SQUARES != 0) begin : squares
            wire signed [WX:0] number = {(SX != 0) & in_data[WX-1], in_data};
            wire signed [2*WX+1:0] square = number * number;
            wire [2*WX+1+WSQUARE:0] wide = {{WSQUARE{1'b0}}, square};
            wire unused_top = &{1'b0, wide[2*WX+1+WSQUARE:WSQUARE]};
            reg [WSQUARE-1:0] total, finished, held;
            wire [WSQUARE-1:0] next = ((|fill) ? total : {WSQUARE{1'b0}}) + wide[WSQUARE-1:0];
            always @(posedge clk) begin
                if (load) total <= next;
                if (filled) finished <= next;
                if (done) held <= finished;
            end
            assign out_square = held;
        end else begin : squares
            assign out_square = {WSQUARE{1'b0}};
        end
    endgenerate
endmodule

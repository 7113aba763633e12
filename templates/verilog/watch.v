// Watches the control of a pipeline of N ranks, for a proof. A tag follows one chosen vector
// through the ranks. A bit of bad is 1 when a promise is broken:
// 0 hold: a result not taken stays, and stays the same     1 order: nothing lost, doubled, swapped
// 2 count: no more on the way than ranks, none from nothing  3 reset: nothing is left after it
// 4 progress: out after N clocks with out_ready             5 room: out_ready opens in_ready
// 6 bus: a write meets no vector on its way
module crystal_watch #(parameter N = 1) (
    input  wire clk,
    input  wire rst,
    input  wire in_valid,
    input  wire in_ready,
    input  wire out_valid,
    input  wire out_ready,
    input  wire bus_valid,
    input  wire bus_ready,
    input  wire [N-1:0] load,
    input  wire mark,
    output wire [6:0] bad
);
    localparam W = $clog2(N + 2) + 1;
    reg [N-1:0] tag;
    reg [W-1:0] count, ahead, age;
    reg marked, held, was, ended;
    wire take = in_valid & in_ready & ~rst;
    wire give = out_valid & out_ready & ~rst;
    wire choose = take & mark & ~marked;
    wire [N:0] next = {tag, choose};
    wire mine = marked & (ahead == 0);
    integer k;
    initial {count, ahead, age, marked, held, was, ended} = 0;
    always @(posedge clk) begin
        for (k = 0; k < N; k = k + 1) if (load[k]) tag[k] <= next[k];
        held <= out_valid & ~out_ready & ~rst;
        was <= tag[N-1];
        ended <= rst;
        if (rst) {count, ahead, age, marked} <= 0;
        else begin
            count <= count + take - give;
            if (choose) begin
                marked <= 1'b1;
                ahead <= count - give;
                age <= 0;
            end else if (marked) begin
                if (give & (ahead == 0)) marked <= 1'b0;
                if (give) ahead <= ahead - 1'b1;
                if (out_ready & (age != N + 1)) age <= age + 1'b1;
            end
        end
    end
    assign bad[0] = held & (~out_valid | (tag[N-1] != was));
    assign bad[1] = give & (tag[N-1] != mine);
    assign bad[2] = (count > N) | (out_valid & (count == 0) & ~rst & ~ended);
    assign bad[3] = ended & out_valid;
    assign bad[4] = marked & (age == N + 1);
    assign bad[5] = out_ready & ~bus_valid & ~in_ready;
    assign bad[6] = bus_valid & bus_ready & ((count != 0) | take);
endmodule
